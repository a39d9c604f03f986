"""Rules that discard a trial because the device throttled. Each returns a reason or "". Pure."""

from __future__ import annotations

from collections.abc import Callable

from .series import DeviceReadings, clocks, ghz, mine, risen, slowing

#: a clock that falls by more under load has throttled. Twice the flag's limit: no median
#: describes samples of two clocks so far apart, and a scaled clock moves in steps of 3 to 7 %
FALL_PERCENT = 10.0
#: Android says 1 (light) as soon as it limits anything
STATUS = 1
STATUS_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def _told(seen: DeviceReadings) -> str:
    """The status reported by the system."""
    statuses = [r.thermal_status for r in seen.inside if r.thermal_status is not None]
    worst = max(statuses, default=0)
    if worst >= STATUS:
        word = STATUS_WORDS[min(worst, len(STATUS_WORDS) - 1)]
        return (
            f"throttled: reported by the system (thermal status {worst}, {word}); "
            "let the device cool"
        )
    for when, state in (("before", seen.before), ("after", seen.after)):
        if state.throttled:
            return f"throttled: reported by the system {when} the trial; let the device cool"
    return ""


def _counted(seen: DeviceReadings) -> str:
    """Throttling events counted by the hardware."""
    found = risen(seen.until, lambda r: r.throttle_counts)
    if not found:
        return ""
    name, first, last = found
    return f"throttled: {name} rose from {first} to {last}; check cooling and power supply"


def _cooled(seen: DeviceReadings) -> str:
    """Cooling devices that the kernel activated."""
    found = risen(seen.until, slowing)
    if not found:
        return ""
    name, first, last = found
    return f"throttled: by the kernel (cooling device {name} from {first} to {last})"


def _capped(seen: DeviceReadings) -> str:
    """A clock limit of the job's CPUs below that at the start."""
    if not seen.until:
        return ""
    for cpu, first in seen.until[0].limit_khz.items():
        lowest = min(r.limit_khz.get(cpu, first) for r in seen.until)
        if mine(seen, cpu) and 100 * (first - lowest) > FALL_PERCENT * first:
            moved = f"from {ghz(first)} to {ghz(lowest)}"
            return f"throttled: the system lowered the clock limit of cpu{cpu} {moved}"
    return ""


def _fell(seen: DeviceReadings) -> str:
    """The clock of a loaded CPU compared with its start."""
    moves = [(cpu, start, min(later)) for cpu, start, later in clocks(seen)]
    cpu, start, lowest = min(moves, key=lambda move: move[2] / move[1], default=("", 1.0, 1.0))
    percent = 100 * (1 - lowest / start)
    if percent <= FALL_PERCENT:
        return ""
    return (
        f"throttled: the clock of cpu{cpu} fell from {ghz(start)} to {ghz(lowest)} "
        f"({percent:.0f} %) under load; let the device cool, or fix a lower clock"
    )


RULES: tuple[Callable[[DeviceReadings], str], ...] = (_told, _counted, _cooled, _capped, _fell)
