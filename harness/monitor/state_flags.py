"""Rules that flag a trial, and notes on unknown state. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..analysis.flags import FREQUENCY_PERCENT, PRESSURE_PERCENT
from ..analysis.host_noise import STEAL_PERCENT
from ..records import Reading
from .series import (
    LEAST,
    WIDTH,
    DeviceReadings,
    good,
    jitter,
    levels,
    loaded,
    mean,
    mine,
    slowing,
    zones,
)
from .throttling import FALL_PERCENT

#: more heat than this within a timed loop: the device was not steady. Sensors come in steps of
#: 1 °C, and a load alone moves a warm chip by a few
HEAT_RISE_C = 10.0
#: so many standard deviations of what chance does. Simulated: none of 2,000 quiet trials flagged
#: where a clock jitters by 1 %, up to 8 where it jitters by 3 %
JITTER_FACTOR = 5.0
#: others keep half of the CPUs busy that the job does not use: caches, memory and the power
#: budget are shared, though no one waits for a CPU
OTHERS_PERCENT = 50.0
#: waiting for memory is rare on a machine that is fit to measure
MEMORY_PERCENT = 1.0
#: state is unknown when nothing was read for so long: ten ticks
GAP_S = 5.0


def _moved(seen: DeviceReadings) -> str:
    """Up, or down by less than discards the trial; by more than chance."""
    moves = []
    for cpu, khz in loaded(seen).items():
        if known := levels(khz, wide=True):
            start, later = known
            threshold = max(start * FREQUENCY_PERCENT / 100, JITTER_FACTOR * jitter(khz))
            moves += [(v / start - 1, cpu) for v in later if abs(v - start) > threshold]
    share, cpu = max(moves, key=lambda move: abs(move[0]), default=(0.0, ""))
    if not moves or 100 * share < -FALL_PERCENT:
        return ""
    return f"the clock of cpu{cpu} moved by {100 * share:+.0f} % within the trial; fix the governor"


def _slow_from_the_start(seen: DeviceReadings) -> str:
    slowed = {n: s for n, s in slowing(seen.until[0]).items() if s > 0} if seen.until else {}
    if not slowed:
        return ""
    name, state = max(slowed.items(), key=lambda item: item[1])
    return (
        f"slowed down from the start (cooling device {name} at {state}); let the device cool first"
    )


def _heated(seen: DeviceReadings) -> str:
    rises = []
    for name in zones(seen.inside):
        values = [r.temperatures_c[name] for r in seen.inside if good(r, name)]
        if known := levels(values):
            rises.append((max(known[1]) - known[0], name, known[0]))
    rise, name, start = max(rises, default=(0.0, "", 0.0))
    if rise <= HEAT_RISE_C:
        return ""
    return (
        f"{name} heated up by {rise:.0f} °C, from {start:.0f} °C; warm up longer or improve cooling"
    )


def _waited(seen: DeviceReadings) -> str:
    percent = mean(r.cpu_pressure_percent for r in seen.inside)
    if percent <= PRESSURE_PERCENT:
        return ""
    return f"background load: tasks waited for a CPU {percent:.0f} % of the time during the trial"


def _others(seen: DeviceReadings) -> str:
    if not seen.cpus:
        return ""
    percent = mean(v for r in seen.inside for c, v in r.busy_percent.items() if c not in seen.cpus)
    if percent <= OTHERS_PERCENT:
        return ""
    return (
        f"background load: CPUs not in use by the trial were {percent:.0f} % busy; "
        "stop other processes"
    )


def _stolen(seen: DeviceReadings) -> str:
    percent = mean(r.steal_percent for r in seen.inside)
    if percent <= STEAL_PERCENT:
        return ""
    return f"background load: the hypervisor took {percent:.1f} % of the time during the trial"


def _short_of_memory(seen: DeviceReadings) -> str:
    percent = mean(r.memory_pressure_percent for r in seen.inside)
    if percent <= MEMORY_PERCENT:
        return ""
    return f"tasks waited for memory {percent:.0f} % of the time; free some memory"


def _low(seen: DeviceReadings) -> str:
    known = [r.battery_percent for r in seen.until]
    known += [seen.before.battery_percent, seen.after.battery_percent]
    lowest = min((v for v in known if v is not None), default=100.0)
    if lowest >= seen.min_battery_percent:
        return ""
    return f"battery at {lowest:.0f} % (at least {seen.min_battery_percent:.0f} %); charge it"


def _vanished(seen: DeviceReadings) -> str:
    """A sensor that had readings, but none in the last two."""
    lost = [n for n in zones(seen.until[:WIDTH]) if not any(good(r, n) for r in seen.until[-2:])]
    if not lost or len(seen.until) < WIDTH + 2:
        return ""
    said = [r.temperatures_c[lost[0]] for r in seen.until[-2:] if lost[0] in r.temperatures_c]
    what = f"implausible reading {said[-1]:g} °C, ignored" if said else "no more readings"
    return f"temperature sensor {lost[0]}: {what}; temperature not monitored to the end"


def _paused(seen: DeviceReadings) -> str:
    """A sensor or a clock that had readings at first, and then none for long."""
    heat, first = zones(seen.until[:WIDTH]), seen.until[:WIDTH]
    told = {f"temperature sensor {n}": [r for r in seen.until if good(r, n)] for n in heat}
    for cpu in sorted({c for r in first for c in r.frequency_khz if mine(seen, c)}):
        known = [r for r in seen.until if cpu in r.frequency_khz]
        told[f"the clock of cpu{cpu}"] = [*known, seen.until[-1]]
    usual = max(GAP_S, _longest_s(seen.until))
    gaps = {name: _longest_s(readings) for name, readings in told.items()}
    name, gap = max(gaps.items(), key=lambda item: item[1], default=("", 0.0))
    return f"no readings of {name} for {gap:.0f} s of the trial" if gap > usual else ""


def _longest_s(readings: Sequence[Reading]) -> float:
    """The longest gap between two consecutive readings."""
    times = [r.at_s for r in readings]
    return max((b - a for a, b in zip(times, times[1:], strict=False)), default=0.0)


def _silent(seen: DeviceReadings) -> str:
    """A thermal service that had a status, but none in the last two readings."""
    told = any(r.thermal_status is not None for r in seen.until[:-2])
    if not told or any(r.thermal_status is not None for r in seen.until[-2:]):
        return ""
    return "the thermal service stopped answering; throttling not monitored to the end"


def _no_heat(seen: DeviceReadings) -> str:
    """Sensors without any plausible reading."""
    said = {n: c for r in seen.until for n, c in r.temperatures_c.items()}
    if not said or zones(seen.until):
        return ""
    name, value = next(iter(said.items()))
    what = f"implausible reading {value:g} °C, ignored"
    return f"temperature sensor {name}: {what}; temperature not monitored"


def _unknown(seen: DeviceReadings) -> str:
    """A sampler that ended early, paused, or never started."""
    if seen.window is None:
        return ""
    times = [r.at_s for r in seen.until if r.at_s >= seen.window[0]]
    times = [seen.window[0], *times, seen.window[1]]
    gap = max(later - earlier for earlier, later in zip(times, times[1:], strict=False))
    if gap <= GAP_S:
        return ""
    return f"no readings for {gap:.0f} s of the timed loop: state unknown"


def _unwatched(seen: DeviceReadings) -> str:
    return "" if seen.until else "no readings during the trial: state unknown"


def _no_clock(seen: DeviceReadings) -> str:
    if not seen.until:
        return ""
    if not any(mine(seen, c) for r in seen.until for c in r.frequency_khz):
        return "this device does not report its clock: drops cannot be detected"
    most = max((len(khz) for khz in loaded(seen).values()), default=0)
    if most >= LEAST:
        return ""
    return (
        f"{most} readings under load are too few to detect a drop of the clock (at least {LEAST})"
    )


def _no_sensor(seen: DeviceReadings) -> str:
    if not seen.until or any(r.temperatures_c for r in seen.until):
        return ""
    return "this device has no readable temperature sensor"


def _odd_sensors(seen: DeviceReadings) -> str:
    sound = set(zones(seen.until))
    odd = {n: c for r in seen.until for n, c in r.temperatures_c.items() if n not in sound}
    if not odd or not sound:
        return ""
    listed = ", ".join(f"{name} {value:g} °C" for name, value in list(odd.items())[:3])
    return f"{len(odd)} sensors with implausible readings, ignored: {listed}"


def _charging(seen: DeviceReadings) -> str:
    charging = any(r.charging for r in seen.until) or seen.before.charging
    return "the device was charging, which heats it and raises power limits" if charging else ""


_Rule = Callable[[DeviceReadings], str]
FLAGS: tuple[_Rule, ...] = (
    _moved, _slow_from_the_start, _heated, _waited, _others, _stolen, _short_of_memory, _low,
    _vanished, _paused, _silent, _no_heat, _unknown,
)  # fmt: skip
NOTES: tuple[_Rule, ...] = (_unwatched, _no_clock, _no_sensor, _odd_sensors, _charging)
