"""Limits on what an SSH server can make bench store or wait for; paramiko has none of these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import paramiko
from paramiko.buffered_pipe import BufferedPipe

#: OpenSSH's own limit
LONGEST_PACKET_BYTES: Final = 256 << 10
#: maximum of all lines up to `SSH-2.0-…`
LONGEST_GREETING_BYTES: Final = 64 << 10
#: unread bytes that a server may send beyond a channel's window
SPARE_BYTES: Final = 1 << 20


def limit_packets(transport: paramiko.Transport) -> None:
    """Call before the transport starts. A longer packet or greeting ends the connection."""
    packetizer: Any = transport.packetizer
    read_all, read_some = packetizer.read_all, packetizer._read_timeout
    greeted = 0

    def limited_read_all(n: int, check_rekey: bool = False) -> bytes:
        if n > LONGEST_PACKET_BYTES:
            raise paramiko.SSHException(f"packet of {n:,} bytes")
        return bytes(read_all(n, check_rekey))

    def limited_read_some(timeout: float) -> bytes:
        nonlocal greeted
        data = bytes(read_some(timeout))
        greeted += len(data)
        if greeted > LONGEST_GREETING_BYTES:
            raise paramiko.SSHException("not an SSH server: its greeting does not end")
        return data

    packetizer.read_all = limited_read_all
    packetizer._read_timeout = limited_read_some


def limit_output(session: paramiko.Channel, window_bytes: int) -> None:
    """A server that sends more than the window allows ends the connection."""
    most = window_bytes + SPARE_BYTES
    session.in_buffer, session.in_stderr_buffer = _Bounded(most), _Bounded(most)


class _Bounded(BufferedPipe):  # type: ignore[type-arg]
    """Raises SSHException, in paramiko's thread, for more than fits."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def feed(self, data: bytes | str) -> None:
        if len(self) + len(data) > self._most_bytes:
            raise paramiko.SSHException(
                f"sent over {self._most_bytes >> 20} MB that were not requested"
            )
        super().feed(data)


@contextmanager
def ended_after(seconds: float, end: Callable[[], object]) -> Iterator[None]:
    """For waits of paramiko without a limit: `end` is called when one takes too long."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
