"""Which process a container belongs to, so that only those of dead ones are removed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final


def _started(pid: int) -> str:
    """When a process began, in ticks since boot; empty when there is none, or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


#: this process: host, process id and start, as a container's label has it
ME: Final = f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def alive(label: str) -> bool:
    """Whether the process of a label may still run; always True for another host's."""
    host, pid, started = label.split(" ")
    return host != socket.gethostname() or _started(int(pid)) == started
