"""A device that hangs on a running adb server, as a farm's phones do. Knows adbutils."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Mapping

import adbutils

from ..errors import BenchError, DeviceLost, StepFailed, UsageError
from .failures import lost

PORT = 5037
LOCAL = "127.0.0.1"
MAX_DATA = 1 << 18
#: how long the server may take to answer, seconds
ANSWER_S = 30.0


class ServerStream:
    """One service of the device, as a socket to the server; same promises as `adb_wire.Stream`."""

    def __init__(self, name: str, connection: adbutils.AdbConnection) -> None:
        self._name, self._connection = name, connection
        self._socket: socket.socket = connection.conn

    def send(self, data: bytes, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise TimeoutError(f"stuck for {timeout_s:g} s") from None
        except OSError as error:
            raise BrokenPipeError from error

    def receive(self, timeout_s: float) -> bytes | None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(timeout_s * 1e3):
            return None
        try:
            return self._socket.recv(1 << 18)
        except OSError as error:
            raise lost(self._name, "in the middle of a command", str(error)) from error

    def close(self) -> None:
        self._socket.close()


class Server:
    """One device of a server; every stream is a connection of its own to the server."""

    alive = True
    max_data = MAX_DATA

    def __init__(self, name: str, host: str, port: int, serial: str) -> None:
        self.name = name
        self._where = f"the adb server at {host}:{port}"
        self._server, self._serial = (host, port), serial
        self._client = adbutils.AdbClient(host, port)
        try:
            self.features = frozenset(self._ask("features").split(","))
        except (adbutils.AdbError, OSError) as error:
            raise self._translated(error) from error

    def open(self, service: str, timeout_s: float) -> ServerStream:
        """Raises DeviceLost, StepFailed."""
        try:
            way = self._connection(f"host:transport:{self._serial}", service)
        except (adbutils.AdbError, OSError) as error:
            raise self._translated(error) from error
        return ServerStream(self.name, way)

    def close(self) -> None:
        pass

    def check(self, doing: str) -> None:
        """A lost device ends its streams; whether it is there still, only the server knows."""
        try:
            state = self._ask("get-state")
        except (adbutils.AdbError, OSError) as error:
            raise lost(self.name, doing, str(error)) from error
        if state != "device":
            raise lost(self.name, doing, f"it is {state}")

    def _ask(self, question: str) -> str:
        connection = self._connection(f"host-serial:{self._serial}:{question}")
        try:
            return str(connection.read_string_block())
        finally:
            connection.conn.close()

    def _connection(self, *commands: str) -> adbutils.AdbConnection:
        """To the server, after it has said yes to each command."""
        try:
            return self._open(*commands)
        except adbutils.AdbError as error:
            if "offline" not in str(error) or ":" not in self._serial:
                raise
        self._connect_again()
        return self._open(*commands)

    def _connect_again(self) -> None:
        """A server may keep a phone offline whose TCP connection broke; it has to be told."""
        for command in (f"host:disconnect:{self._serial}", f"host:connect:{self._serial}"):
            connection = self._open(command)
            try:
                connection.read_string_block()
            finally:
                connection.conn.close()

    def _open(self, *commands: str) -> adbutils.AdbConnection:
        self._probe()
        connection = self._client.make_connection(ANSWER_S)
        try:
            for command in commands:
                connection.send_command(command)
                connection.check_okay()
        except (adbutils.AdbError, OSError):
            connection.conn.close()
            raise
        return connection

    def _probe(self) -> None:
        """adbutils would start a server of its own where none answers."""
        try:
            socket.create_connection(self._server, 3).close()
        except OSError as error:
            raise DeviceLost(
                f"{self.name}: {self._where} does not answer: {error}", "`adb start-server`"
            ) from error

    def _translated(self, error: Exception) -> BenchError:
        text = str(error) or type(error).__name__
        if "unauthorized" in text:
            return StepFailed(
                f"{self.name}: the phone has not accepted the key of {self._where}",
                "unlock it and say Allow to 'Allow USB debugging?', then try again",
            )
        return DeviceLost(
            f"{self.name}: {self._where}: {text}", "`adb devices` shows what is there"
        )


def server(env: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Host and port of the adb server that `adb` itself asks; raises UsageError for no address.

    ADB_SERVER_SOCKET counts first, then ANDROID_ADB_SERVER_ADDRESS and ANDROID_ADB_SERVER_PORT.
    """
    if socket_name := env.get("ADB_SERVER_SOCKET"):
        kind, _, place = socket_name.partition(":")
        host, _, port = place.rpartition(":")
        if kind != "tcp":
            raise UsageError(
                f"ADB_SERVER_SOCKET={socket_name}: bench speaks to an adb server over TCP only",
                "Set it to tcp:HOST:PORT.",
            )
        return host.strip("[]") or LOCAL, _port("ADB_SERVER_SOCKET", socket_name, port)
    port = env.get("ANDROID_ADB_SERVER_PORT", str(PORT))
    host = env.get("ANDROID_ADB_SERVER_ADDRESS") or LOCAL
    return host, _port("ANDROID_ADB_SERVER_PORT", port, port)


def _port(variable: str, value: str, port: str) -> int:
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise UsageError(
            f"{variable}={value}: '{port}' is not a port",
            "Set a number from 1 to 65535, or unset it.",
        )
    return int(port)


def address(text: str) -> tuple[str, int, str]:
    """`[host:port/]serial` -> host, port, serial."""
    where, slash, serial = text.rpartition("/")
    if not slash:
        return *server(), text
    host, _, port = where.rpartition(":") if ":" in where else (where, "", "")
    default_host, default_port = server()
    number = _port(f"address server:{text}", where, port) if port else default_port
    return host.strip("[]") or default_host, number, serial
