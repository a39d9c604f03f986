"""Energy of one inference, from the readings of its trial. Pure.

    energy_of(watched, window_of(start_ns, latency_ns, boot_offset_s), len(latency_ns), idle)

It includes the time between inferences (in a tight loop: a few µs each), but not the idle power
of the same rails, measured before the job. Nothing is guessed: if a source is unreliable, the
energy is None and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..kinds.rails import board
from ..records import Energy, Reading, Watched
from .series import Window, mean

#: how long the device is watched before the job, for its idle power
IDLE_S = 3.0
#: a counter has all energy between two readings in it; a momentary power must be seen more often
LEAST_COUNTS, LEAST_POWERS = 2, 4
#: at a window's ends a source may be unread for so long, or for this share of it
UNSEEN_S, UNSEEN_SHARE = 3.0, 0.1
#: no device that is measured here draws more
MOST_W = 2000.0
#: fuel gauges average over seconds: shorter windows show the time before
BATTERY_S = 10.0
#: less than this is no running device's power: the gauge counts in another unit than µA
LEAST_BATTERY_W = 0.05


@dataclass(frozen=True)
class Power:
    """Mean power in a window; None: unknown, and `reason` says why."""

    watts: float | None
    tier: str = ""
    reason: str = ""


def window_of(
    start_ns: Sequence[int], latency_ns: Sequence[int], boot_offset_s: float = 0.0
) -> Window | None:
    """The timed loop in the device's seconds since boot; None without samples.

    `start_ns` is of `perf_counter_ns` (CLOCK_MONOTONIC), which stands still while a device sleeps;
    `boot_offset_s` is by how much CLOCK_BOOTTIME is ahead of it.
    """
    if not len(start_ns):
        return None
    low = int(start_ns[0]) / 1e9 + boot_offset_s
    return low, (int(start_ns[-1]) + int(latency_ns[-1])) / 1e9 + boot_offset_s


def energy_of(
    watched: Watched, window: Window | None, inferences: int, idle: Window | None = None
) -> Energy:
    """Of the best source that the device has; `idle` is what `Watch.idle` gave."""
    if window is None or inferences < 1:
        return Energy(note="no timed inferences")
    load = power(watched, window)
    if load.watts is None:
        return Energy(tier=load.tier, note=load.reason)
    rest = power(watched, idle) if idle else Power(None, reason="idle power not measured")
    known = Energy(mean_w=load.watts, idle_w=rest.watts, tier=load.tier)
    if rest.watts is None:
        note, net_w = f"idle power not subtracted: {rest.reason}", load.watts
    else:
        note, net_w = f"idle power of {rest.watts:.3g} W subtracted", load.watts - rest.watts
    if net_w <= 0:
        seen = f"{load.watts:.3g} W under load is not above {rest.watts or 0:.3g} W idle"
        return replace(known, note=f"{seen}: this source does not resolve the job")
    seconds = window[1] - window[0]
    return replace(known, per_inference_mj=1e3 * net_w * seconds / inferences, note=note)


def power(watched: Watched, window: Window) -> Power:
    """Mean power of the best source over a window: RAPL, then INA3221, then the battery."""
    inside = [r for r in watched.readings if window[0] <= r.at_s <= window[1]]
    counters = {name for r in watched.readings for name in r.energy_uj}
    rails = {name for r in watched.readings for name in r.power_w}
    packages = sorted(name for name in counters if name.startswith("RAPL package"))
    boards = sorted(name for name in rails if name.startswith("INA"))
    if packages:
        return _whole(
            _counted(inside, packages, watched.counter_range_uj), inside, window, "energy_uj"
        )
    if boards:
        return _whole(_metered(inside, boards), inside, window, "power_w")
    if "battery" in rails:
        return _gauged(inside)
    return Power(None, reason=_nothing(watched))


def _whole(found: Power, inside: Sequence[Reading], window: Window, kind: str) -> Power:
    """Unknown if the source was read for only a part of the window."""
    times = [r.at_s for r in inside if getattr(r, kind)]
    if found.watts is None or not times:
        return found
    unseen_s = times[0] - window[0] + window[1] - times[-1]
    if unseen_s > max(UNSEEN_S, UNSEEN_SHARE * (window[1] - window[0])):
        return Power(None, found.tier, f"no readings for {unseen_s:.0f} s of the timed loop")
    return found


def _nothing(watched: Watched) -> str:
    if not watched.readings:
        return "no readings"
    if "rapl_uj" in watched.unreadable:
        return (
            "RAPL is readable by root only: `chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`"
        )
    denied = [kind for kind in watched.unreadable if kind.startswith(("rail", "battery"))]
    if denied:
        return f"no permission to read its power sensors ({', '.join(denied)})"
    return "no power sensor (RAPL, INA3221 or battery gauge)"


def _counted(inside: Sequence[Reading], rails: Sequence[str], ranges: dict[str, int]) -> Power:
    tier = f"on-board rail: {' + '.join(rails)}"
    whole = [r for r in inside if all(rail in r.energy_uj for rail in rails)]
    if len(whole) < LEAST_COUNTS:
        return Power(None, tier, _few(len(whole), LEAST_COUNTS))
    if any(now.at_s <= before.at_s for before, now in zip(whole, whole[1:], strict=False)):
        return Power(None, tier, "the device's clock stood still or went backwards")
    total_uj = 0
    for rail in rails:
        steps = _steps(whole, rail, ranges.get(rail, 0))
        if min(uj for uj, _ in steps) < 0:
            return Power(None, tier, f"{rail} went backwards, and its range is unknown")
        if not any(uj for uj, _ in steps):
            return Power(None, tier, f"{rail} did not change (virtual machine?)")
        most_w = max(uj / 1e6 / seconds for uj, seconds in steps)
        if most_w > MOST_W:
            return Power(None, tier, f"implausible {most_w:.0f} W: the counter was reset")
        total_uj += sum(uj for uj, _ in steps)
    return Power(total_uj / 1e6 / (whole[-1].at_s - whole[0].at_s), tier)


def _steps(whole: Sequence[Reading], rail: str, limit_uj: int) -> list[tuple[int, float]]:
    """Energy in µJ and seconds from reading to reading; a step down begins again from 0."""
    found = []
    for before, now in zip(whole, whole[1:], strict=False):
        step = now.energy_uj[rail] - before.energy_uj[rail]
        seconds = max(now.at_s - before.at_s, 1e-3)  # no sampler is faster
        found.append((step if step >= 0 else step + limit_uj, seconds))
    return found


def _metered(inside: Sequence[Reading], rails: Sequence[str]) -> Power:
    named = {rail.split(" ", 1)[1]: rail for rail in rails}
    used = [named[name] for name in board(named)]
    if not used:
        listed = ", ".join(sorted(named))
        return Power(None, "", f"unknown whether its rails ({listed}) cover the whole board")
    tier = f"on-board rail: {used[0]}" + "".join(f" + {r.split(' ', 1)[1]}" for r in used[1:])
    whole = [r for r in inside if all(rail in r.power_w for rail in used)]
    if len(whole) < LEAST_POWERS:
        return Power(None, tier, _few(len(whole), LEAST_POWERS))
    watts = mean(sum(r.power_w[rail] for rail in used) for r in whole)
    if watts > MOST_W:
        return Power(None, tier, f"implausible {watts:.0f} W: the sensor uses another unit")
    return Power(watts, tier)


def _gauged(inside: Sequence[Reading]) -> Power:
    tier = "battery gauge"
    seen = [r for r in inside if "battery" in r.power_w]
    if any(r.charging is not False for r in seen):
        return Power(None, tier, "charging: the battery's current is not the device's")
    if len(seen) < LEAST_POWERS or seen[-1].at_s - seen[0].at_s < BATTERY_S:
        return Power(None, tier, f"a battery gauge needs {BATTERY_S:.0f} s; use profile full")
    values = [r.power_w["battery"] for r in seen]
    if len(set(values)) == 1:
        return Power(None, tier, "the battery gauge did not change during the timed loop")
    if mean(values) < LEAST_BATTERY_W:
        return Power(None, tier, f"implausible {mean(values):.2g} W: the gauge does not use µA")
    return Power(mean(values), tier)


def _few(seen: int, least: int) -> str:
    return f"{seen} power readings in the window (at least {least}); use profile full"
