"""What Android's `dumpsys thermalservice` says: its status, and its sensors now. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..runner.sensors import is_temperature, plausible
from .answers import number, whole

#: a service without a HAL has a status all the same: 0, which nobody has measured
NO_HAL = "its thermal service has no HAL: throttling was not watched"
#: HAL 1.0 has temperatures, and no word for throttling
OLD_HAL = "its thermal HAL 1.0 does not report throttling: it was not watched"
#: somebody has set the status to 0 by hand, and it stays so
OVERRIDDEN = (
    "its thermal status is set by hand (`cmd thermalservice reset` ends that): "
    "throttling was not watched"
)
#: volts, amperes and charge of battery limits, which come as temperatures too
_NO_TEMPERATURE = ("6", "7", "8")
_TEMPERATURE = re.compile(r"Temperature\{mValue=([-+.\dEe]+), mType=(-?\d+), mName=([^,}]*),")
_STATUS = re.compile(r"Thermal Status:\s*(\d+)", re.ASCII)


@dataclass(frozen=True)
class ThermalService:
    """`status`: 0 none, 1 light, 2 moderate, …; None: nobody says, and `note` why."""

    status: int | None = None
    temperatures_c: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def throttled(self) -> bool | None:
        return None if self.status is None else self.status >= 1


def read(lines: Iterable[str]) -> ThermalService:
    """Of the dump's lines, all of them or those that matter.

    Its cached temperatures are those of the last event, maybe hours old, and left out.
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
    """Why the status is no reading."""
    if line == "HAL Ready: false" or (line.startswith("ThermalHAL") and line.endswith(": no")):
        return NO_HAL
    return OLD_HAL if line.startswith("ThermalHAL 1.0") else ""
