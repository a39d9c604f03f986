"""A device's sensor readings during a trial, from `state.jsonl` next to its samples.

One line is one `records.Reading`; malformed lines and values are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.errors import StepFailed
from harness.untrusted.text import read_objects

FILE: Final = "state.jsonl"
#: what a sensor on a working device can show; the rest (4095, -273) is a fault of the sensor
PLAUSIBLE_C: Final = (-40.0, 150.0)


@dataclass(frozen=True)
class Series:
    """A drawn quantity: key, axis title, digits of the hover text, least span of the axis."""

    key: str
    title: str
    digits: str
    least: float


SERIES: Final = (
    Series("hottest_c", "hottest, °C", ".1f", 5.0),
    Series("clock_mhz", "clock, MHz", ".0f", 200.0),
    Series("busy_percent", "CPUs busy, %", ".0f", 20.0),
    Series("battery_percent", "battery, %", ".0f", 5.0),
    Series("power_w", "power, W", ".2f", 1.0),
)
Values = NDArray[np.float64]


@dataclass(frozen=True)
class States:
    """Readings of one trial, in order: seconds since boot, and values by key, NaN where unknown."""

    at_s: Values
    values: Mapping[str, Values]

    def known(self, key: str) -> bool:
        """Whether any reading has this quantity."""
        return key in self.values and bool(np.isfinite(self.values[key]).any())


def read_states(folder: Path, cpus: Sequence[int] = (), run: Path | None = None) -> States | None:
    """The readings in a trial's folder of `run`; None if there are none.

    Clocks are the mean of `cpus`, those that the trial could use; of all when none are named.
    """
    try:
        lines = read_objects(folder / FILE, run)
        seen = [line for line in lines if _number(line.get("at_s")) is not None]
    except StepFailed:
        return None
    if not seen:
        return None
    seen.sort(key=lambda line: float(line["at_s"]))
    at_s = np.array([float(line["at_s"]) for line in seen])
    values = {key: _column(seen, read, cpus) for key, read in _READERS.items()}
    if not np.isfinite(values["power_w"]).any():
        values["power_w"] = _counted(seen, at_s)
    return States(at_s, values)


def _column(
    seen: Sequence[dict[str, Any]],
    read: Callable[[dict[str, Any], Sequence[int]], float | None],
    cpus: Sequence[int],
) -> Values:
    found = (read(line, cpus) for line in seen)
    return np.array([math.nan if value is None else value for value in found])


def _counted(seen: Sequence[dict[str, Any]], at_s: Values) -> Values:
    """Power since the reading before, from counters of energy; a gap where one began again."""
    rails = [_numbers(line.get("energy_uj")) for line in seen]
    watts = np.full(len(seen), math.nan)
    for n in range(1, len(seen)):
        spent = [rails[n][name] - rails[n - 1][name] for name in rails[n].keys() & rails[n - 1]]
        seconds = float(at_s[n] - at_s[n - 1])
        if spent and seconds > 0 and min(spent) >= 0:
            watts[n] = max(spent) / 1e6 / seconds
    return watts


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _numbers(values: object) -> dict[str, float]:
    items = values.items() if isinstance(values, dict) else ()
    return {str(k): n for k, v in items if (n := _number(v)) is not None}


def _mean(values: Iterable[float]) -> float | None:
    there = list(values)
    return sum(there) / len(there) if there else None


def _hottest(line: dict[str, Any], cpus: Sequence[int]) -> float | None:
    low, high = PLAUSIBLE_C
    sane = (c for c in _numbers(line.get("temperatures_c")).values() if low <= c <= high)
    return max(sane, default=None)


def _clock(line: dict[str, Any], cpus: Sequence[int]) -> float | None:
    khz = _numbers(line.get("frequency_khz"))
    own = [khz[str(cpu)] for cpu in cpus if str(cpu) in khz]
    mean = _mean(own or khz.values())
    return None if mean is None else mean / 1000


def _busy(line: dict[str, Any], cpus: Sequence[int]) -> float | None:
    return _mean(_numbers(line.get("busy_percent")).values())


def _power(line: dict[str, Any], cpus: Sequence[int]) -> float | None:
    """The largest rail, which feeds the others: a sum would count power twice."""
    return max(_numbers(line.get("power_w")).values(), default=None)


_READERS: Final[dict[str, Callable[[dict[str, Any], Sequence[int]], float | None]]] = {
    "hottest_c": _hottest,
    "clock_mhz": _clock,
    "busy_percent": _busy,
    "battery_percent": lambda line, cpus: _number(line.get("battery_percent")),
    "power_w": _power,
}
