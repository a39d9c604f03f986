"""Streams of one ADB connection, from the phone's side: every message waits for its OKAY."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading

HEAD = struct.Struct("<6I")
CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)


class Cable:
    """A socket that carries whole messages."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writing = threading.Lock()
        self.max_data = 4096

    def read(self) -> tuple[int, int, int, bytes]:
        """Command, both arguments, data. Raises OSError when the other side is gone."""
        command, first, second, size, check, magic = HEAD.unpack(self._exactly(HEAD.size))
        if command ^ magic != 0xFFFFFFFF or size > 1 << 20:
            raise ConnectionError("not an adb message")
        data = self._exactly(size)
        if command in (CNXN, AUTH) and sum(data) & 0xFFFFFFFF != check:
            raise ConnectionError("wrong checksum")
        return command, first, second, data

    def write(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """One message, with a checksum as old hosts want it only where that is cheap."""
        check = sum(data) & 0xFFFFFFFF if len(data) < 4096 else 0
        head = HEAD.pack(command, first, second, len(data), check, command ^ 0xFFFFFFFF)
        with self._writing:
            self._socket.sendall(head)
            if data:
                self._socket.sendall(data)

    def close(self) -> None:
        """Also wakes readers."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            got = self._socket.recv_into(view[at:])
            if not got:
                raise ConnectionResetError("the host is gone")
            at += got
        return bytes(data)


class Stream:
    """One service that a host has opened."""

    def __init__(self, cable: Cable, local: int, remote: int) -> None:
        self._cable, self.local, self.remote = cable, local, remote
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._acknowledged = threading.Semaphore(1)
        self._rest = memoryview(b"")
        self.closed = False

    def read(self) -> bytes:
        """What the host sends next; b"" when it has closed."""
        if self.closed and self._arrived.empty():
            return b""
        data = self._arrived.get()
        if data and not self.closed:
            self._cable.write(OKAY, self.local, self.remote)
        return data

    def exactly(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises EOFError if the host closes before."""
        while len(self._rest) < size:
            data = self.read()
            if not data:
                raise EOFError
            self._rest = memoryview(bytes(self._rest) + data if self._rest else data)
        found, self._rest = self._rest[:size], self._rest[size:]
        return bytes(found)

    def write(self, data: bytes) -> None:
        """To the host. Raises BrokenPipeError when it has closed."""
        limit = self._cable.max_data
        for at in range(0, len(data), limit):
            self._acknowledged.acquire()
            if self.closed:
                self._acknowledged.release()
                raise BrokenPipeError
            self._cable.write(WRTE, self.local, self.remote, data[at : at + limit])

    def arrive(self, data: bytes) -> None:
        """Called by the connection's thread."""
        self._arrived.put(data)

    def acknowledge(self) -> None:
        """Called by the connection's thread."""
        self._acknowledged.release()

    def end(self) -> None:
        """Called by the connection's thread: the host has closed, or is gone."""
        self.closed = True
        self._arrived.put(b"")
        self._acknowledged.release()

    def close(self) -> None:
        """Nothing more from here; what was written arrives at the host before this."""
        if not self.closed:
            self.closed = True
            self._arrived.put(b"")
            self._cable.write(CLSE, self.local, self.remote)
