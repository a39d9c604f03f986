"""The ADB protocol from the host's side: one connection, many streams, one thread that reads.

adb-shell gives the constants, the key's signature and USB. Its own `AdbDevice` is not used: it
knows no shell v2 and no input for a command, drops what a full socket does not take at once, and
while one command is silent no other can be spoken to, so nothing could be killed.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from ..errors import StepFailed
from .adb_messages import CLSE, OKAY, OPEN, WRTE, Messages, shake_hands
from .adb_pipe import Pipe
from .failures import described, lost

#: unread output of a service; a device waits for an acknowledgement after each message, so that
#: real ones are never ahead by more than one
AHEAD_BYTES: Final = 16 << 20


class Stream:
    """One service of the device: a command, mostly."""

    def __init__(self, wire: Wire, number: int) -> None:
        self._wire, self.number, self.remote = wire, number, 0
        self.changed = threading.Condition()
        self.arrived = bytearray()
        self.ready = False  # the device wants more
        self.owed = False  # the device waits for our word before it sends more
        self.closed = False

    def send(self, data: bytes, timeout_s: float) -> None:
        """Raises BrokenPipeError when the device has closed it, TimeoutError, DeviceLost."""
        for at in range(0, len(data), self._wire.max_data):
            self._wait_until_ready(timeout_s)
            piece = data[at : at + self._wire.max_data]
            self._wire.write(WRTE, self.number, self.remote, piece)

    def receive(self, timeout_s: float) -> bytes | None:
        """Some bytes, b"" at the end, None when there were none in time. Raises DeviceLost."""
        with self.changed:
            self.changed.wait_for(lambda: self.arrived or self.closed, timeout_s)
            if not self.arrived:
                self._wire.check("during a command")
                return b"" if self.closed else None
            data = bytes(self.arrived)
            self.arrived.clear()
        self._acknowledge()
        return data

    def _wait_until_ready(self, timeout_s: float) -> None:
        """What arrives meanwhile is taken: a command that cannot get rid of its output may not
        read its input either."""
        until = time.monotonic() + timeout_s
        while True:
            with self.changed:
                self.changed.wait_for(
                    lambda: self.ready or self.closed or self.owed, until - time.monotonic()
                )
                self._wire.check("during a push")
                if self.closed:
                    raise BrokenPipeError
                if self.ready:
                    self.ready = False
                    return
            if not self._acknowledge() and time.monotonic() >= until:
                raise TimeoutError(f"stalled for {timeout_s:g} s")

    def _acknowledge(self) -> bool:
        """Let the device send more, if it waits for that."""
        with self.changed:
            owed, self.owed = self.owed and not self.closed, False
        if owed:
            self._wire.write(OKAY, self.number, self.remote, b"")
        return owed

    def close(self) -> None:
        self._wire.forget(self)


class Wire:
    """A connected and authorised device."""

    def __init__(self, name: str, pipe: Pipe) -> None:
        self.name = name
        self._messages = Messages(pipe)
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._lock = threading.Lock()
        self._broken: str | None = None
        try:
            greeting = shake_hands(name, self._messages)
        except BaseException:
            pipe.close()
            raise
        self.max_data, self.features = greeting.max_data, greeting.features
        threading.Thread(target=self._read, name=f"adb {name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._broken is None

    @property
    def longest_service(self) -> int:
        """It is the content of one message."""
        return self.max_data

    def check(self, doing: str) -> None:
        """Raises DeviceLost when the connection has broken."""
        if self._broken is not None:
            raise lost(self.name, doing, self._broken)

    def open(self, service: str, timeout_s: float) -> Stream:
        """Raises StepFailed when the device refuses the service, DeviceLost."""
        with self._lock:
            self._last += 1
            stream = self._streams[self._last] = Stream(self, self._last)
        self.write(OPEN, stream.number, 0, service.encode("utf-8", "surrogateescape") + b"\0")
        with stream.changed:
            stream.changed.wait_for(lambda: stream.ready or stream.closed, timeout_s)
        self.check("while starting a command")
        if not stream.ready:
            closed = stream.closed
            self.forget(stream)
            if not closed:
                raise lost(self.name, "while starting a command", f"no answer for {timeout_s:g} s")
            raise StepFailed(f"{self.name}: the device does not support {service.split(':')[0]}:")
        return stream

    def write(self, command: int, local: int, remote: int, data: bytes) -> None:
        """One message. Raises DeviceLost."""
        try:
            self._messages.write(command, local, remote, data)
        except OSError as error:
            self._break(str(error))
            self.check("while sending")

    def forget(self, stream: Stream) -> None:
        """Close it here and, unless it is, there."""
        with self._lock:
            self._streams.pop(stream.number, None)
        if not stream.closed and self.alive:
            stream.closed = True
            self.write(CLSE, stream.number, stream.remote, b"")

    def close(self) -> None:
        self._break("closed")

    def _read(self) -> None:
        """Until the connection breaks: every message to its stream."""
        why = "closed"
        try:
            while True:
                command, first, second, data = self._messages.read()
                with self._lock:
                    stream = self._streams.get(second)
                if stream is not None:
                    _deliver(stream, command, first, data)
        except Exception as error:  # after any error, nobody reads this connection
            why = described(error)
        finally:
            self._break(why)

    def _break(self, why: str) -> None:
        with self._lock:
            self._broken = self._broken or why
            streams = list(self._streams.values())
        self._messages.close()
        for stream in streams:
            with stream.changed:
                stream.closed = True
                stream.changed.notify_all()


def _deliver(stream: Stream, command: int, remote: int, data: bytes) -> None:
    """Raises ConnectionError if there is too much unread output."""
    with stream.changed:
        if command == OKAY:
            stream.remote, stream.ready = remote, True
        elif command == WRTE:
            if len(stream.arrived) + len(data) > AHEAD_BYTES:
                raise ConnectionError(f"sent {AHEAD_BYTES >> 20} MB that were not requested")
            stream.arrived += data
            stream.owed = True
        elif command == CLSE:
            stream.closed = True
        stream.changed.notify_all()
