"""Interprets sensors in °C and percent: units, names and values that are not temperatures.

Shared by everything that reads a device. Pure.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Mapping, Optional, Tuple

#: a processor that runs is between these; sensors that are off say -274, 0, 255 or 4095
PLAUSIBLE_C = (1.0, 150.0)
#: a saturated 12-bit converter, taken for thousandths
SATURATED_C = 4.095
#: thermal zones are thousandths; old vendor kernels have whole degrees between these
WHOLE_C = (10, 120)
#: and tenths of a degree, as batteries do, between these
TENTHS_C = (150, 700)
#: more than this is a gauge that counts in another unit; less, but over 100, is one that has aged
OVERFULL_PERCENT = 120.0

#: zones that are no temperature: volts, amperes and charge of battery limits (Qualcomm, Google),
#: differences of two sensors
_OTHER = re.compile(
    r"(?:^|[-_])(?:[vi]bat|vph|bcl|vdroop\d*|smpl|ocp|batoilo|socd)(?:[-_]|$)"
    r"|^battery[-_]cycle|^critical-battery|-MINUS-|_REDUCE$",
    re.I,
)
#: state of charge on Qualcomm, a percentage; a chip elsewhere, in thousandths
_CHARGE = re.compile(r"^soc$", re.I)
_BATTERY = re.compile(r"^(?:batt|bms)", re.I)
#: says the same at any heat (100 °C on Jetsons)
_CONSTANT = re.compile(r"^PMIC(?:-Die)?\b")


def is_temperature(name: str) -> bool:
    """Whether a zone of this name is a temperature."""
    return not _OTHER.search(name)


def degrees(raw: float, name: str = "") -> Optional[float]:
    """A thermal zone's value in °C, plausible or not; None if it is not a temperature."""
    if not is_temperature(name) or (_CHARGE.search(name) and raw <= 100):
        return None
    whole = raw == int(raw)
    if whole and _BATTERY.search(name) and TENTHS_C[0] < raw < TENTHS_C[1]:
        return raw / 10
    return raw if whole and WHOLE_C[0] <= raw <= WHOLE_C[1] else raw / 1000


def plausible(celsius: float) -> bool:
    """Whether a processor can have this temperature."""
    return PLAUSIBLE_C[0] <= celsius <= PLAUSIBLE_C[1] and abs(celsius - SATURATED_C) > 1e-9


def temperatures(zones: Iterable[Tuple[str, str, float]]) -> Dict[str, float]:
    """Plausible temperatures by type, from (type, zone, raw); with the zone for repeated types."""
    found: Dict[str, float] = {}
    for kind, zone, raw in zones:
        celsius = degrees(raw, kind)
        if celsius is not None and plausible(celsius):
            name = kind or zone
            found[f"{name} ({zone})" if name in found else name] = celsius
    return found


def hottest(celsius: Mapping[str, float]) -> Optional[Tuple[float, str]]:
    """The hottest sensor that follows the load, with its name; None if there is none."""
    real = [(c, name) for name, c in celsius.items() if plausible(c) and not _CONSTANT.search(name)]
    return max(real, default=None)


def charge_percent(
    capacity: Optional[float], now: Optional[float] = None, full: Optional[float] = None
) -> Optional[float]:
    """Of a gauge's percentage, charge (or energy) now and when full; None if unknown.

    A gauge over 100 counts in 255ths or thousandths, or against the charge of a new battery: then
    the charge itself says how full it is.
    """
    if capacity is not None and 0 <= capacity <= 100:
        return capacity
    if now is not None and full is not None and now >= 0 and full > 0:
        return min(100.0, 100 * now / full)
    return 100.0 if capacity is not None and 100 < capacity <= OVERFULL_PERCENT else None
