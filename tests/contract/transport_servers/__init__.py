"""Real servers for the transports: Debian's sshd, and our phone's side of ADB. All on 127.0.0.1."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol


class Device(Protocol):
    """A device that tests can lose."""

    transport: str
    address: str

    def start(self) -> None:
        """On the same port as before."""
        ...

    def drop(self) -> None:
        """Close every connection; new ones are accepted."""
        ...

    def stop(self) -> None:
        """Nobody answers any more."""
        ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not in {timeout_s} s: {condition}"
        time.sleep(0.002)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes() -> Iterator[tuple[int, int, str]]:
    """pid, parent and command line of everything that runs."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                line = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except (OSError, IndexError):
                continue
            yield int(folder.name), parent, line


def descendants(pid: int) -> list[tuple[int, str]]:
    """pid and command line of all processes below `pid`."""
    everything = list(processes())
    found: list[tuple[int, str]] = []
    wanted = {pid}
    while True:
        more = [(p, line) for p, parent, line in everything if parent in wanted and p not in wanted]
        if not more:
            return found
        found += more
        wanted |= {p for p, _ in more}


def environment(home: Path) -> dict[str, str]:
    """Ours, with another home."""
    return {**os.environ, "HOME": str(home)}
