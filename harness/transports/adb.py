"""Phones over ADB: directly by TCP or USB, or through a running adb server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DeviceLost, UsageError
from . import Addressed, endpoint
from .adb_channel import Link, PlainExec, ShellV2
from .channel import Channel
from .remote import RemoteTransport

#: commands at once; adbd has no limit, phones have
STREAMS = 8


def connect(target: Addressed) -> RemoteTransport:
    """Connect and authorise; see `transports.connect`."""
    return RemoteTransport(AdbConnection(target.name, target.address))


def link(name: str, address: str) -> Link:
    """`[tcp:]host:port`, `usb:SERIAL` or `server:[host[:port]/]SERIAL`."""
    way, _, rest = address.partition(":")
    if way == "usb" and rest:
        from .adb_pipe import UsbPipe
        from .adb_wire import Wire

        return Wire(name, UsbPipe(name, rest))
    if way == "server":
        from . import adb_client, adb_server

        with _addressing(name, address):
            server, serial = adb_client.of_address(rest)
        return adb_server.ServedDevice(name, server, serial)
    with _addressing(name, address):
        host, port = _of_its_own(address.removeprefix("tcp:"))
    from .adb_pipe import TcpPipe
    from .adb_wire import Wire

    return Wire(name, TcpPipe(name, host, port))


@contextmanager
def _addressing(name: str, address: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageError(
            f"devices/{name}.yaml: address: '{address}' is not an adb address: {error}",
            "Write host:port, usb:SERIAL, or server:SERIAL for a running adb server.",
        ) from error


def _of_its_own(text: str) -> tuple[str, int]:
    """Raises ValueError."""
    host, port = endpoint.split(text)
    if port is None:
        raise ValueError("missing port")
    endpoint.check_scope(host)
    return host, port


class AdbConnection:
    """See `channel.Connection`."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self._address = name, address
        self._room = threading.BoundedSemaphore(STREAMS)
        self._lock = threading.Lock()
        self._link = link(name, address)

    @property
    def ends_input(self) -> bool:
        return "shell_v2" in self._link.features

    @property
    def splits_output(self) -> bool:
        return self.ends_input

    @property
    def longest_command(self) -> int:
        """Linux takes no longer argument; what stands around it in the message has 100 bytes."""
        return min((1 << 17) - 1, self._link.longest_service) - 100

    def open(self, command: str, *, urgent: bool = False) -> Channel:
        room = None if urgent else self._room
        if room is not None:
            room.acquire()
        try:
            return self._start(command, room)
        except BaseException:
            if room is not None:
                room.release()
            raise

    def close(self) -> None:
        with self._lock:
            self._link.close()

    def _start(self, command: str, room: threading.BoundedSemaphore | None) -> Channel:
        for last in (False, True):
            way = self._living()
            try:
                if self.ends_input:
                    return ShellV2(self.name, way, command, room)
                return PlainExec(self.name, way, command, room)
            except DeviceLost:
                if last or way.alive:  # else it was lost since it was last used: once more
                    raise
        raise AssertionError("the second try returns or raises")

    def _living(self) -> Link:
        """The connection, made again if need be."""
        with self._lock:
            if not self._link.alive:
                self._link = link(self.name, self._address)
            return self._link
