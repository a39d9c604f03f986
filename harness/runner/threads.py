"""The busy threads of this process, and its CPUs, as reported by the kernel."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

TASKS = Path("/proc/self/task")

#: a thread that runs less than this share of the busiest one only prepares, waits or cleans up
BUSY_SHARE = 1 / 3
SHOWN_PERCENT = 1.0


def cpu_ns() -> Dict[int, int]:
    """Thread id -> CPU time so far; empty if unknown.

    `schedstat` counts nanoseconds; where it is missing, `stat` counts ticks of 10 ms.
    """
    found: Dict[int, int] = {}
    for task in _tasks():
        used = _schedstat_ns(task)
        used = _stat_ns(task) if used is None else used
        if used is not None:
            found[int(task.name)] = used
    return found


def count() -> int:
    """Threads of this process; 0 if unknown."""
    return len(_tasks()) or len(ps("-M")[1:])


def ps(*options: str) -> List[str]:
    """Lines of `ps` about this process on macOS; empty elsewhere, where /proc is used."""
    if sys.platform != "darwin":
        return []
    command = ["ps", *options, "-p", str(os.getpid())]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode("utf-8", "replace").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []


def percents(before: Dict[int, int], after: Dict[int, int], wall_ns: int) -> Tuple[float, ...]:
    """CPU time of each thread between two readings, in percent of wall time, descending."""
    shares = [100 * (used - before.get(task, 0)) / max(1, wall_ns) for task, used in after.items()]
    return tuple(sorted((round(s, 1) for s in shares if s >= SHOWN_PERCENT), reverse=True))


def busy(shares: Sequence[float]) -> int:
    """The number of busy threads: those with at least a third of the busiest one's time."""
    return sum(share >= BUSY_SHARE * shares[0] for share in shares)


def keep_to(cpus: Sequence[int]) -> Tuple[int, ...]:
    """Pin this process before it starts threads; the resulting CPUs, which may differ.

    An offline or forbidden CPU is not an error here.
    """
    if cpus and hasattr(os, "sched_setaffinity"):  # macOS pins no process
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)
    return allowed()


def allowed() -> Tuple[int, ...]:
    """CPUs that this process may use; empty on macOS, which has no pinning."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def limit_memory(data_bytes: int) -> None:
    """Limit heap and anonymous mappings; 0 means no change."""
    import resource

    if data_bytes:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = data_bytes if hard == resource.RLIM_INFINITY else min(data_bytes, hard)
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
        except (ValueError, OSError):  # macOS knows the limit and may refuse it
            if sys.platform != "darwin":
                raise


def _tasks() -> List[Path]:
    try:
        return list(TASKS.iterdir())
    except OSError:
        return []


def _schedstat_ns(task: Path) -> Optional[int]:
    try:
        return int((task / "schedstat").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _stat_ns(task: Path) -> Optional[int]:
    """utime and stime, the 14th and 15th field of proc(5); the name before them may hold blanks."""
    try:
        fields = (task / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        ticks = sum(int(word) for word in fields.split()[11:13])
    except (OSError, ValueError):
        return None
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
