"""Before a trial: wait until the device is cool and quiet; stop if it cannot be measured.

    ready = wait_until_ready(lambda: kind.read_state(on), limits_of(device))      before the watch
    flags = wait_until_quiet(lambda: watch.readings, lambda: watch.over)           inside of it

Decisions are pure; clock and sleep can be given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..analysis.flags import PRESSURE_PERCENT
from ..analysis.host_noise import STEAL_PERCENT
from ..errors import StepFailed
from ..records import DeviceSpec, DeviceState, Reading
from ..runner.sensors import hottest, plausible
from .series import mean

#: measurement.md: poll every 5 s, wait at most 600 s
POLL_S, COOL_WAIT_S = 5.0, 600.0
#: others end or they do not; a nightly job is not to wait for them
QUIET_WAIT_S = 30.0
#: what background load is judged from: the last two seconds
QUIET_SPAN_S = 2.0
#: a quarter of all CPUs is busy though nothing of ours runs: someone works there
BUSY_PERCENT = 25.0
#: a trial's samples, logs and job fit in this
FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class DeviceLimits:
    """Requirements on a device for a trial; `cool_below_c` None: no wait for cooling."""

    cool_below_c: float | None = None
    min_battery_percent: float = 30.0
    free_bytes: int = FREE_BYTES


@dataclass(frozen=True)
class PreconditionsMet:
    """The device can be measured. Flags make the result suspect, notes only inform."""

    state: DeviceState
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    waited_s: float = 0.0


def limits_of(device: DeviceSpec, free_bytes: int = FREE_BYTES) -> DeviceLimits:
    """The limits in the device's file."""
    return DeviceLimits(device.cool_below_c, device.min_battery_percent, free_bytes)


def stop_if_unfit(state: DeviceState, limits: DeviceLimits) -> None:
    """Raises StepFailed for a battery that is too low, or a full storage."""
    battery, free = state.battery_percent, state.storage_free_bytes
    if battery is not None and battery < limits.min_battery_percent:
        charging = "charging" if state.charging else "not charging"
        raise StepFailed(
            f"battery at {battery:.0f} %, at least {limits.min_battery_percent:.0f} % required "
            f"({charging})",
            "Charge the device, or lower `min_battery_percent` in its file.",
        )
    if free is not None and free < limits.free_bytes:
        raise StepFailed(
            f"{free / 1e6:.0f} MB free, a trial requires {limits.free_bytes / 1e6:.0f} MB",
            "Free some space; `bench devices clean NAME` removes bench's files.",
        )


def too_hot(state: DeviceState, limits: DeviceLimits) -> str:
    """Why to wait; empty if it is cool or its temperature unknown."""
    limit = limits.cool_below_c
    seen = state.temperatures_c or {"hottest sensor": state.hottest_c or 0.0}
    found = hottest(seen)
    if limit is None or found is None or found[0] < limit:
        return ""
    return f"{found[1]} at {found[0]:.0f} °C, limit {limit:.0f} °C"


def notes_of(state: DeviceState, limits: DeviceLimits) -> tuple[str, ...]:
    """Notes on unknown temperatures and the battery."""
    notes: list[str] = []
    if limits.cool_below_c is not None and state.hottest_c is None:
        notes.append("no temperature readings: did not wait for the device to cool")
    elif limits.cool_below_c is not None and not plausible(state.hottest_c or 0.0):
        notes.append(
            f"implausible reading {state.hottest_c:g} °C, ignored: did not wait for the "
            "device to cool"
        )
    if state.charging:
        notes.append("the device was charging, which heats it and raises power limits")
    return tuple(notes)


def wait_until_ready(
    read: Callable[[], DeviceState],
    limits: DeviceLimits,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    on_wait: Callable[[str], None] | None = None,
) -> PreconditionsMet:
    """Read the state until it is cool, at most 600 s; then continue with a flag.

    Raises StepFailed (`stop_if_unfit`), and what `read` raises.
    """
    began = clock()
    while True:
        state = read()
        stop_if_unfit(state, limits)
        reason, waited_s = too_hot(state, limits), clock() - began
        if not reason or waited_s >= COOL_WAIT_S:
            break
        if on_wait:
            on_wait(f"waiting to cool: {reason}")
        sleep(POLL_S)
    flags = (f"still hot after {waited_s:.0f} s of waiting: {reason}",) if reason else ()
    return PreconditionsMet(state, flags, notes_of(state, limits), waited_s)


def foreign_load(readings: Sequence[Reading]) -> str:
    """Background load before a trial; empty if it is low."""
    recent = [r for r in readings if r.busy_percent and r.at_s >= readings[-1].at_s - QUIET_SPAN_S]
    pressure = mean(r.cpu_pressure_percent for r in recent)
    stolen = mean(r.steal_percent for r in recent)
    busy = mean(value for r in recent for value in r.busy_percent.values())
    if pressure > PRESSURE_PERCENT:
        return (
            f"background load: tasks waited for a CPU {pressure:.0f} % of the time before the trial"
        )
    if busy > BUSY_PERCENT:
        return f"background load: the CPUs were {busy:.0f} % busy before the trial"
    if stolen > STEAL_PERCENT:
        return f"background load: the hypervisor took {stolen:.1f} % of the time before the trial"
    return ""


def wait_until_quiet(
    seen: Callable[[], Sequence[Reading]],
    over: Callable[[], bool] = lambda: False,
    *,
    most_s: float = QUIET_WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    on_wait: Callable[[str], None] | None = None,
) -> tuple[str, ...]:
    """Wait for two seconds of readings without background load; then continue with a flag.

    With `most_s` 0 it does not wait: background load is judged after the trial.
    `over` says that no more readings will come, which ends the wait.
    """
    began = clock()
    while True:
        readings, waited_s = seen(), clock() - began
        spanned = bool(readings) and readings[-1].at_s - readings[0].at_s >= QUIET_SPAN_S
        reason = foreign_load(readings) if spanned else ""
        if over() or waited_s >= most_s or (spanned and not reason):
            return (reason,) if reason else ()
        if reason and on_wait:
            on_wait(f"waiting: {reason}")
        sleep(POLL_S if reason else QUIET_SPAN_S / 4)
