"""Parses Android's `dumpsys thermalservice`: status and current sensors. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..runner.sensors import is_temperature, plausible
from .answers import number, whole

#: a service without a HAL has a status all the same: 0, which nobody has measured
NO_HAL = "the thermal service has no HAL: throttling not monitored"
#: HAL 1.0 has temperatures, and no word for throttling
OLD_HAL = "thermal HAL 1.0 does not report throttling: not monitored"
#: somebody has set the status to 0 by hand, and it stays so
OVERRIDDEN = (
    "the thermal status is overridden (reset with `cmd thermalservice reset`): "
    "throttling not monitored"
)
#: volts, amperes and charge of battery limits, which come as temperatures too
_NO_TEMPERATURE = ("6", "7", "8")
_TEMPERATURE = re.compile(r"Temperature\{mValue=([-+.\dEe]+), mType=(-?\d+), mName=([^,}]*),")
_STATUS = re.compile(r"Thermal Status:\s*(\d+)", re.ASCII)


@dataclass(frozen=True)
class ThermalService:
    """`status`: 0 none, 1 light, 2 moderate, …; None: unknown, and `note` says why."""

    status: int | None = None
    temperatures_c: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def throttled(self) -> bool | None:
        return None if self.status is None else self.status >= 1


def read(lines: Iterable[str]) -> ThermalService:
    """Parse the lines of the dump.

    Ignores cached temperatures: they are of the last event, maybe hours old.
    """
    status, note, now, by_hand = None, "", False, False
    found: dict[str, float] = {}
    for line in map(str.strip, lines):
        note = note or _untold(line)
        by_hand = by_hand or line == "IsStatusOverride: true"
        if match := _STATUS.match(line):
            status = whole(match[1])
        elif line.endswith(":"):
            now = line.startswith("Current temperatures")
        elif now and (match := _TEMPERATURE.match(line)):
            name, celsius = match[3], number(match[1])
            known = match[2] not in _NO_TEMPERATURE and is_temperature(name)
            if known and celsius is not None and plausible(celsius):
                found[name] = celsius
    if by_hand and status == 0:  # anything worse is what the system acts upon
        note = OVERRIDDEN
    return ThermalService(None if note else status, found, note)


def _untold(line: str) -> str:
    """Why the status is not a reading."""
    if line == "HAL Ready: false" or (line.startswith("ThermalHAL") and line.endswith(": no")):
        return NO_HAL
    return OLD_HAL if line.startswith("ThermalHAL 1.0") else ""
