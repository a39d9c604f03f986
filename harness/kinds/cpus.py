"""CPUs of a device: which are usable, which are fast, and in which order jobs get them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .answers import Readings, number, whole

#: maximum of any kernel
MOST: Final = 8192
#: of the fastest's capacity, to which arm64 kernels give 1024; the middle one of three clusters has
#: more than this
FAST_CAPACITY: Final = 0.6
#: of the highest clock, where that is all that is known. On x86 favoured cores differ by some
#: percent, and small ones by a fifth; on ARM a cluster in the middle has at least so much
FAST_CLOCK: Final = {"x86_64": 0.95}
FAST_CLOCK_ELSEWHERE: Final = 0.7


def usable(seen: Readings) -> tuple[int, ...]:
    """CPUs that are online and allowed for this user; with a quota, the best of them.

    Processes that exceed their cgroup's quota are throttled by the kernel.
    """
    online = listed(seen.last("online"))
    if not online:
        online = tuple(cpu for text in seen.all("processor") if (cpu := whole(text)) is not None)
    allowed = frozenset(listed(seen.last("allowed")))
    mine = tuple(cpu for cpu in online if cpu in allowed) or online
    most = min((int(cpus) for cpus in quotas(seen)), default=len(mine))
    return tuple(sorted(by_preference(seen, mine)[-max(1, most) :]))


def quotas(seen: Readings) -> list[float]:
    """The CPU quotas of all enclosing cgroups with a limit: `150000 100000`."""
    pairs = (line.split() for line in seen.all("quota"))
    known = ([number(word) for word in pair] for pair in pairs if len(pair) == 2)
    return [
        quota / period for quota, period in known if quota and period and min(quota, period) >= 1
    ]


def fast(seen: Readings, cpus: Sequence[int]) -> tuple[int, ...]:
    """The fast CPUs, best last; all if they are equal or unknown."""
    big = _fast(seen, cpus)
    return tuple(cpu for cpu in by_preference(seen, cpus) if cpu in big)


def by_preference(seen: Readings, cpus: Sequence[int]) -> tuple[int, ...]:
    """Best last: one CPU of each core before a second one of any, fast before slow.

    If all are equal, the last ones are best, since the first one serves most interrupts.
    """
    first = _one_a_core(seen, cpus)
    big, speeds = _fast(seen, cpus), _known_speeds(seen, cpus)
    return tuple(
        sorted(cpus, key=lambda cpu: (cpu in first, cpu in big, speeds.get(cpu, 0.0), cpu))
    )


def _fast(seen: Readings, cpus: Sequence[int]) -> set[int]:
    performance = set(listed(seen.last("performance_cores"))) & set(cpus)
    if performance:  # Intel's hybrid ones say it
        return performance
    arch = seen.last("arch") or ""
    clock = FAST_CLOCK.get(arch, FAST_CLOCK_ELSEWHERE)
    shares = [("max", clock), ("capacity", FAST_CAPACITY)]
    for unit, share in shares if arch in FAST_CLOCK else shares[::-1]:
        speeds = _speeds(seen.all("speed"), unit)
        if cpus and set(cpus) <= set(speeds):
            least = share * max(speeds[cpu] for cpu in cpus)
            return {cpu for cpu in cpus if speeds[cpu] >= least}
    return set(cpus)


def _known_speeds(seen: Readings, cpus: Sequence[int]) -> dict[int, float]:
    """Speeds of all CPUs in one unit; empty if incomplete."""
    for unit in ("capacity", "max"):
        speeds = _speeds(seen.all("speed"), unit)
        if set(cpus) <= set(speeds):
            return speeds
    return {}


def _one_a_core(seen: Readings, cpus: Sequence[int]) -> set[int]:
    """The last CPU of each core; all if unknown."""
    cores: dict[str, int] = {}
    known = dict(line.split(" ", 1) for line in seen.all("core") if " " in line)
    for cpu in sorted(cpus):
        cores[known.get(str(cpu), f"cpu{cpu}")] = cpu
    return set(cores.values())


def _speeds(lines: Iterable[str], wanted: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for line in lines:
        cpu, unit, value = (*line.split(), "", "", "")[:3]
        speed = number(value)
        number_of = whole(cpu)
        if unit == wanted and number_of is not None and speed:
            found[number_of] = speed
    return found


def listed(text: str | None) -> tuple[int, ...]:
    """`0-2,5` as the kernel writes it; empty if it is not a list of CPUs."""
    found: list[int] = []
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        low, high = whole(first), whole(last or first)
        if low is None or high is None or high >= MOST or len(found) >= MOST:
            return ()
        found += range(low, high + 1)
    return tuple(found)
