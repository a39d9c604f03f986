"""Batteries, as reported by the kernel and by Android's battery service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..runner.sensors import charge_percent, plausible
from .answers import number


@dataclass(frozen=True)
class Battery:
    """Percent, whether it charges, °C; unknown values are None."""

    percent: float | None = None
    charging: bool | None = None
    celsius: float | None = None


@dataclass(frozen=True)
class _Supply:
    """One battery of /sys/class/power_supply; charge or energy, in whatever unit."""

    status: str
    percent: float | None
    now: float | None
    full: float | None


def of_kernel(lines: Iterable[str]) -> Battery:
    """`BAT0 Discharging 85 41000000 48000000`: name, status, capacity, charge now, when full.

    Several batteries are combined: total charge of total capacity.
    """
    supplies = [supply for line in lines if (supply := _supply(line.split()))]
    if not supplies:
        return Battery()
    return Battery(_together(supplies), _charging([s.status for s in supplies]))


def _supply(words: Sequence[str]) -> _Supply | None:
    if len(words) != 5:
        return None
    capacity, now, full = (number(word) for word in words[2:])
    return _Supply(words[1], charge_percent(capacity, now, full), now, full)


def _together(supplies: Sequence[_Supply]) -> float | None:
    """By charge if all report it, or else the mean."""
    if len(supplies) > 1 and all(s.now is not None and s.full for s in supplies):
        now = sum(s.now or 0.0 for s in supplies)
        return charge_percent(None, now, sum(s.full or 0.0 for s in supplies))
    known = [s.percent for s in supplies if s.percent is not None]
    return sum(known) / len(known) if known else None


def _charging(statuses: Sequence[str]) -> bool | None:
    """The kernel's status; the space in `Not charging` is an underscore here."""
    if "Charging" in statuses:
        return True
    if "Discharging" in statuses:
        return False
    if "Full" in statuses:
        return True
    return False if "Not_charging" in statuses else None


def of_service(lines: Iterable[str]) -> Battery:
    """Android's `dumpsys battery`; empty if overridden manually or without a battery."""
    said = list(lines)
    values = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in said)}
    stopped = any("UPDATES STOPPED" in line for line in said)  # `dumpsys battery set …`
    if stopped or values.get("present") == "false":
        return Battery()
    level, scale = number(values.get("level", "")), number(values.get("scale", "100"))
    status = values.get("status")
    if not level and status in (None, "1"):  # a board without one says 0 %, unknown
        level = None
    tenths = number(values.get("temperature", ""))
    return Battery(
        None if level is None or not scale else charge_percent(100 * level / scale),
        status in ("2", "5") if status in ("2", "3", "4", "5") else None,
        tenths / 10 if tenths is not None and plausible(tenths / 10) else None,
    )
