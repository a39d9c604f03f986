"""Resident memory of this process, phase by phase."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import List

from ..records import PhaseMemory
from . import threads

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


class Phases:
    """Call `end` after each phase; resets the peak for the next, if the system allows.

    Linux keeps a process's peak (`VmHWM`) and sets it back when 5 is written to `clear_refs`
    (proc(5)). Where that is not allowed, the phase's last resident size stands for it.
    """

    def __init__(self) -> None:
        self._resets = _reset()
        self._bytes: List[int] = []

    def end(self) -> None:
        """Record the phase that ends here."""
        self._bytes.append(read_bytes("VmHWM" if self._resets else "VmRSS"))
        self._resets = self._resets and _reset()

    @property
    def highest_bytes(self) -> int:
        """The peak of the whole process so far."""
        return max([*self._bytes, read_bytes("VmHWM")])

    def record(self) -> PhaseMemory:
        """Of exactly four phases: before the import, import, load, inference."""
        base, imported, loaded, inferred = self._bytes
        return PhaseMemory(base, imported, loaded, inferred, "peak" if self._resets else "end")


def read_bytes(name: str) -> int:
    """A size from `/proc/self/status` in bytes, 0 if missing."""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # macOS
        return _without_proc(name)
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0


def _without_proc(name: str) -> int:
    """The current size from `ps`; else the peak of the process so far."""
    now = [line for line in threads.ps("-o", "rss=") if line.strip().isdigit()]
    if name == "VmRSS" and now:
        return int(now[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _reset() -> bool:
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
