"""Commands over an ADB service: shell v2 where the device has it, else `exec:` and a marker."""

from __future__ import annotations

import contextlib
import secrets
import struct
import threading
import time
from typing import Protocol

from ..errors import DeviceLost, StepFailed
from .channel import STALL_S, CommandOutput, Exited
from .failures import lost

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = 0, 1, 2, 3, 4
_PACKET = struct.Struct("<BI")
#: no adbd puts more into a packet than into a message
LONGEST_PACKET = 1 << 20
#: after the marker of a finished command: its exit code, and what a terminal adds
_LONGEST_TAIL = 16


class Stream(Protocol):
    """A service's bytes; see `adb_wire.Stream`."""

    def send(self, data: bytes, timeout_s: float) -> None: ...
    def receive(self, timeout_s: float) -> bytes | None: ...
    def close(self) -> None: ...


class Link(Protocol):
    """A way to a device that opens services; see `adb_wire.Wire`."""

    features: frozenset[str]

    @property
    def longest_service(self) -> int: ...
    @property
    def alive(self) -> bool: ...
    def open(self, service: str, timeout_s: float) -> Stream: ...
    def check(self, doing: str) -> None: ...
    def close(self) -> None: ...


class _AdbChannel:
    """What both ways of running a command share."""

    def __init__(
        self, name: str, way: Link, service: str, room: threading.BoundedSemaphore | None
    ) -> None:
        self._name, self._way, self._room = name, way, room
        self._stream = way.open(service, STALL_S)
        self._buffer = bytearray()

    def close(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.release()
        with contextlib.suppress(DeviceLost):  # closed all the same
            self._stream.close()

    def _write(self, data: bytes) -> None:
        try:
            self._stream.send(data, STALL_S)
        except TimeoutError as error:
            raise lost(self._name, "during a push", str(error)) from error

    def _ended(self) -> DeviceLost | StepFailed:
        """A stream that ended before its command did."""
        try:
            self._way.check("during a command")
        except DeviceLost as error:
            return error
        return self._broken("no exit status")

    def _broken(self, why: str) -> DeviceLost:
        return lost(self._name, "during a command", why)


class ShellV2(_AdbChannel):
    """A command by shell v2: packets for input, both outputs and the exit code."""

    def __init__(
        self, name: str, way: Link, command: str, room: threading.BoundedSemaphore | None
    ) -> None:
        super().__init__(name, way, f"shell,v2,raw:{command}", room)

    def send(self, data: bytes) -> None:
        self._write(_PACKET.pack(_STDIN, len(data)) + data)

    def end(self) -> None:
        self._write(_PACKET.pack(_CLOSE_STDIN, 0))

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        until = time.monotonic() + timeout_s
        while (packet := self._packet()) is None:
            data = self._stream.receive(max(0.0, until - time.monotonic()))
            if data is None:
                return None
            if not data:
                raise self._ended()
            self._buffer += data
            if time.monotonic() >= until:
                return self._packet()  # there may be any number of empty packets
        return packet

    def _packet(self) -> CommandOutput | Exited | None:
        """The next event of what has arrived; output needs not wait for the rest of its packet."""
        while len(self._buffer) >= _PACKET.size:
            kind, size = _PACKET.unpack_from(self._buffer)
            if size > LONGEST_PACKET:
                raise self._broken(f"packet of {size:,} bytes")
            if len(self._buffer) < _PACKET.size + size:
                return None
            data = bytes(memoryview(self._buffer)[_PACKET.size : _PACKET.size + size])
            del self._buffer[: _PACKET.size + size]
            if kind == _EXIT:
                if not data:
                    raise self._broken("no exit status")
                return Exited(data[0])
            if data and kind in (_STDOUT, _STDERR):
                return CommandOutput(data, is_error=kind == _STDERR)
        return None


class PlainExec(_AdbChannel):
    """A command on a device without shell v2: both outputs as one, its exit code behind them."""

    def __init__(
        self, name: str, way: Link, command: str, room: threading.BoundedSemaphore | None
    ) -> None:
        self._marker = f"bench-{secrets.token_hex(8)}-ended ".encode()
        tail = self._marker.decode().strip()
        super().__init__(name, way, f"exec:{command} 2>&1; echo {tail} $?", room)
        self._over = False

    def send(self, data: bytes) -> None:
        self._write(data)

    def end(self) -> None:
        pass  # there is no such message; commands that read know how much

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        until = time.monotonic() + timeout_s
        while not self._over:
            data = self._stream.receive(max(0.0, until - time.monotonic()))
            if data is None:
                return None
            self._over = not data
            self._buffer += data
            if output := self._certain():
                return CommandOutput(output)
            if len(self._buffer) > len(self._marker) + _LONGEST_TAIL:
                raise self._broken("more output after its end")
            if time.monotonic() >= until:
                return None
        return self._last()

    def _certain(self) -> bytes:
        """What cannot be the beginning of the marker and its number."""
        found = self._buffer.find(self._marker)
        longest = min(len(self._buffer), len(self._marker))
        keep = (
            len(self._buffer) - found
            if found >= 0
            else next(
                (n for n in range(longest, 0, -1) if self._buffer.endswith(self._marker[:n])), 0
            )
        )
        output = bytes(self._buffer[: len(self._buffer) - keep])
        del self._buffer[: len(output)]
        return output

    def _last(self) -> CommandOutput | Exited:
        head, marker, code = bytes(self._buffer).partition(self._marker)
        if not marker or not code.strip().isdigit():
            raise self._ended()
        return Exited(int(code))
