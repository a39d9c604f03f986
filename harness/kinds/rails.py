"""Power rails of NVIDIA Jetsons: which of them make up the board, each counted once. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..runner.sensors import plausible
from .answers import number

#: the input that all the others are fed from: Orin Nano and NX, Xavier NX, TX2; Nano; Thor
INPUTS: Final = ("VDD_IN", "POM_5V_IN", "VIN")
#: boards without such a rail: supplies beside each other that are all of the module. AGX Orin,
#: whose VIN_SYS_5V0 alone is the IO's, and feeds VDDQ_VDD2_1V8AO; AGX Xavier, whose SYS5V is all
#: that the five others are not
PARTS: Final = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)

_RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?:/\d+mW)?(?!\S)")
_TEMPERATURE = re.compile(r"(\S+)@(-?[\d.]+)C\b")


def board(rails: Iterable[str]) -> tuple[str, ...]:
    """The rails whose sum is the board's power; empty if unknown."""
    there = set(rails)
    for name in INPUTS:
        if name in there:
            return (name,)
    return next((parts for parts in PARTS if there.issuperset(parts)), ())


def tegrastats_power_mw(line: str | None) -> float | None:
    """The board's current power; None if unknown or its sensors are off."""
    found = {name: number(text) for name, text in _RAIL.findall(line or "")}
    known = {name: milliwatts for name, milliwatts in found.items() if milliwatts is not None}
    return sum(known[name] for name in board(known)) or None


def tegrastats_temperatures(line: str | None) -> dict[str, float]:
    """`… CPU@45.3C GPU@-256C …`; -256 is a sensor that is off."""
    pairs = ((name, number(text)) for name, text in _TEMPERATURE.findall(line or ""))
    return {name: celsius for name, celsius in pairs if celsius is not None and plausible(celsius)}
