"""A device of a running adb server."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Callable
from typing import TypeVar

from ..errors import BenchError, DeviceLost, StepFailed
from ..printable import one_line
from . import adb_client
from .adb_client import Refused, Server
from .adb_states import advice
from .failures import lost

Result = TypeVar("Result")


class ServerStream:
    """One service of the device, as a socket to the server; same promises as `adb_wire.Stream`."""

    def __init__(self, name: str, way: socket.socket) -> None:
        self._name, self._socket = name, way

    def send(self, data: bytes, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise TimeoutError(f"stalled for {timeout_s:g} s") from None
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
            raise lost(self._name, "during a command", str(error)) from error

    def close(self) -> None:
        self._socket.close()


class ServedDevice:
    """One device of a server; every stream is a connection of its own to the server."""

    alive = True
    longest_service = adb_client.LONGEST_BYTES

    def __init__(self, name: str, server: Server, serial: str) -> None:
        self.name = name
        self._where = f"the adb server at {server.shown}"
        self._server, self._serial = server, serial
        try:
            self.features = frozenset(self._ask("features").split(","))
            state = self._ask("get-state")
        except (Refused, OSError) as error:
            raise self._translated(error) from error
        if state != "device":
            shown = one_line(state)
            raise StepFailed(f"{name}: adb state of {serial} is {shown}", advice(state))

    def open(self, service: str, timeout_s: float) -> ServerStream:
        """Raises DeviceLost, StepFailed."""
        try:
            return ServerStream(self.name, self._connection(service))
        except (Refused, OSError) as error:
            raise self._translated(error) from error

    def close(self) -> None:
        pass

    def check(self, doing: str) -> None:
        """A lost device ends its streams; whether it is there still, only the server knows."""
        try:
            state = self._ask("get-state")
        except (Refused, OSError) as error:
            raise lost(self.name, doing, str(error)) from error
        if state != "device":
            raise lost(self.name, doing, f"adb state {state}")

    def _ask(self, question: str) -> str:
        return self._again_when_offline(
            lambda: adb_client.ask(self._server, f"host-serial:{self._serial}:{question}")
        )

    def _connection(self, service: str) -> socket.socket:
        transport = f"host:transport:{self._serial}"
        return self._again_when_offline(
            lambda: adb_client.request(self._server, transport, service)
        )

    def _again_when_offline(self, do: Callable[[], Result]) -> Result:
        """A server may keep a phone offline whose TCP connection broke; it has to be told."""
        try:
            return do()
        except Refused as error:
            if "offline" not in str(error) or not re.fullmatch(r".+:\d+", self._serial):
                raise
        for command in ("disconnect", "connect"):
            adb_client.ask(self._server, f"host:{command}:{self._serial}")
        return do()

    def _translated(self, error: Refused | OSError) -> BenchError:
        text = str(error) or type(error).__name__
        if "unauthorized" in text:
            return StepFailed(
                f"{self.name}: the phone did not accept the key of {self._where}",
                "Unlock the phone, confirm 'Allow USB debugging?', and try again.",
            )
        if isinstance(error, Refused):
            first = one_line(
                next(iter(str(error).strip().splitlines()), "refused without a reason")
            )
            return DeviceLost(
                f"{self.name}: {self._where}: {first}", "Check the device with `adb devices`."
            )
        return DeviceLost(
            f"{self.name}: {self._where} does not answer: {text}",
            "Start the server with `adb start-server`.",
        )
