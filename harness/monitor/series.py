"""One trial's readings, as used by `throttling` and `state_flags`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median

from ..records import DeviceState, Reading
from ..runner.sensors import plausible

#: a CPU that is busier than this is loaded, and its clock means something: governors let the
#: clock of an idle one fall at once
LOADED_PERCENT = 50.0
#: the median of so many readings (1.5 s) stands for a clock or a temperature: one is no verdict
WIDTH = 3
#: fewer loaded readings do not tell how a clock moved: each end needs a median of its own, or one
#: odd reading would be the verdict
LEAST = 2 * WIDTH
#: what cools by slowing the processor; fans, screens, modems and chargers do not
SLOWS = re.compile(r"cpu|processor|clamp|devfreq|gpu|npu|tpu|dsp|hotplug|isolate|cluster", re.I)
FAN = re.compile(r"fan", re.I)

#: the timed loop in the device's seconds since boot
Window = tuple[float, float]


@dataclass(frozen=True)
class DeviceReadings:
    """`until`: readings from the first to the window's end; `inside`: those of the window."""

    until: Sequence[Reading]
    inside: Sequence[Reading]
    before: DeviceState
    after: DeviceState
    #: numbers of the job's CPUs; empty: all count as its own
    cpus: tuple[str, ...]
    window: Window | None
    min_battery_percent: float


def mine(seen: DeviceReadings, cpu: str) -> bool:
    """Whether this is one of the job's CPUs."""
    return not seen.cpus or cpu in seen.cpus


def clocks(seen: DeviceReadings) -> list[tuple[str, float, list[float]]]:
    """CPU, its clock at the start under load, its clocks later, in kHz."""
    return [(cpu, *known) for cpu, khz in loaded(seen).items() if (known := levels(khz))]


def loaded(seen: DeviceReadings) -> dict[str, list[int]]:
    """Clocks of the job's CPUs in the window, where they had work."""
    found: dict[str, list[int]] = {}
    for reading in seen.inside:
        for cpu, khz in reading.frequency_khz.items():
            if mine(seen, cpu) and khz > 0:
                known = found.setdefault(cpu, [])
                if reading.busy_percent.get(cpu, 0.0) >= LOADED_PERCENT:
                    known.append(khz)
    return found


def levels(values: Sequence[float], wide: bool = False) -> tuple[float, list[float]] | None:
    """The median of the first few values, and moving medians of the rest; None if too few.

    `wide`: of an eighth of them, where that is more.
    """
    if len(values) < LEAST:
        return None
    width = min(_width(len(values), wide), len(values) // 2)
    starts = range(width, len(values) - width + 1)
    return float(median(values[:width])), [float(median(values[i : i + width])) for i in starts]


def _width(count: int, wide: bool) -> int:
    return max(WIDTH, count // 8) if wide else WIDTH


def jitter(values: Sequence[float]) -> float:
    """By how much wide medians of these values differ by chance: their standard deviation.

    The noise is taken from steps between neighbours, which a slow or a single change leaves alone;
    a median of n has 1.25 / sqrt(n) of it, a difference of two sqrt(2) times that.
    """
    steps = [abs(b - a) for a, b in zip(values, values[1:], strict=False)]
    sigma = median(steps) / (0.6745 * sqrt(2)) if steps else 0.0
    return sigma * 1.25 * sqrt(2 / min(_width(len(values), True), max(1, len(values) // 2)))


def risen(
    readings: Sequence[Reading], of: Callable[[Reading], Mapping[str, int]]
) -> tuple[str, int, int] | None:
    """The first counter or state that rose above all its earlier values.

    A fall (a counter that restarted, a state that was reset) starts a new baseline.
    """
    lowest: dict[str, int] = {}
    for number, reading in enumerate(readings):
        for name, value in of(reading).items():
            least = lowest[name] = min(value, lowest.get(name, value))
            if value > least:
                later = [of(r).get(name, value) for r in readings[number:]]
                return name, least, max(later)
    return None


def slowing(reading: Reading) -> Mapping[str, int]:
    """The cooling devices that slow the processor; an unused one may read -1."""
    return {
        name: max(0, state)
        for name, state in reading.cooling.items()
        if SLOWS.search(name) and not FAN.search(name)
    }


def zones(readings: Sequence[Reading]) -> list[str]:
    """Sensors with at least one plausible temperature."""
    return list({name: None for r in readings for name in r.temperatures_c if good(r, name)})


def good(reading: Reading, name: str) -> bool:
    """Whether this sensor had a plausible temperature then."""
    return name in reading.temperatures_c and plausible(reading.temperatures_c[name])


def mean(values: Iterable[float | None]) -> float:
    """The mean of known values; 0 if none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0


def ghz(khz: float) -> str:
    """`2.84 GHz`."""
    return f"{khz / 1e6:.3g} GHz"
