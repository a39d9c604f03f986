"""Judges a trial by its device's state: discard it, or keep it with flags. Pure.

    judge_state(watched.readings, before, after, cpus=trial.affinity, window=window_of(…))

`window` is the timed loop in the device's seconds since boot; without it, the loaded part of all
readings counts. A discarded trial is repeated (`retry`); flags make a result suspect; notes say
what is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..records import DeviceState, Reading
from . import state_flags, throttling
from .series import DeviceReadings, Window

#: no trial is watched for longer
LONGEST_S = 3600.0
UNALIGNED = "the clocks of samples and readings cannot be aligned; all readings were judged"


@dataclass(frozen=True)
class Verdicts:
    """`void`: why the trial is discarded; None if it is not."""

    void: str | None
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge_state(
    readings: Sequence[Reading],
    before: DeviceState,
    after: DeviceState,
    *,
    cpus: Sequence[int] = (),
    window: Window | None = None,
    min_battery_percent: float = 30.0,
) -> Verdicts:
    """All rules over one trial; any that reports throttling discards it."""
    strange = window is not None and bool(readings) and not _aligned(readings, window)
    window = None if strange else window
    low, high = window or (float("-inf"), float("inf"))
    until = [r for r in readings if r.at_s <= high]
    seen = DeviceReadings(
        until,
        [r for r in until if r.at_s >= low],
        before,
        after,
        tuple(str(cpu) for cpu in cpus),
        window,
        min_battery_percent,
    )
    reasons = [reason for rule in throttling.RULES if (reason := rule(seen))]
    flags = [flag for rule in state_flags.FLAGS if (flag := rule(seen))]
    notes = [note for rule in state_flags.NOTES if (note := rule(seen))]
    notes += [UNALIGNED] if strange else []
    return Verdicts(reasons[0] if reasons else None, (*reasons[1:], *flags), tuple(notes))


def _aligned(readings: Sequence[Reading], window: Window) -> bool:
    """False for a window of another clock; a lost sampler ends before it."""
    return readings[0].at_s <= window[1] and window[0] <= readings[-1].at_s + LONGEST_S
