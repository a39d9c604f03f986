"""The process that owns a container, so that only containers of dead processes are removed."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Final


def _started(pid: int) -> str:
    """When a process began, in ticks since boot; `?` without /proc, empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "?" if not Path("/proc/self").exists() and _runs(pid) else ""
    return stat.rpartition(")")[2].split()[19]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


#: this process: host, process id and start, as a container's label has it
ME: Final = f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def alive(label: str) -> bool:
    """Whether the process of a label may still run; always True for another host's, and for a
    label of another program."""
    words = label.split(" ")
    if (
        len(words) != 3
        or not re.fullmatch("[0-9]{1,9}", words[1])
        or words[0] != socket.gethostname()
    ):
        return True
    return _started(int(words[1])) == words[2]
