"""How to ask an adb server: where it is, as adb itself finds it, and its protocol. Starts none."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import UsageError
from . import endpoint

PORT: Final = 5037
LOCAL: Final = "127.0.0.1"
#: the port of an `ADB_SERVER_SOCKET=tcp:HOST`, odd as it is
PHONE_PORT: Final = 5555
CONNECT_S: Final = 3.0
#: how long the server may take to answer, seconds
ANSWER_S: Final = 30.0
#: a device at a port, or with another kind of address; text after the serial would be a command
_SERIAL: Final = re.compile(
    r"[^:\x00-\x1f]+(?::[0-9]{1,5})?|\[[0-9a-fA-F:.]+(?:%\w+)?\]:[0-9]{1,5}"
    r"|(?:usb|vsock|tcp|udp):[^:\x00-\x1f]+(?::[0-9]{1,5})?"
)
#: a request has its length before it, in four hexadecimal digits
LONGEST_BYTES: Final = 0xFFFF


@dataclass(frozen=True)
class Server:
    """An adb server; `path` is a Unix socket's, and begins with NUL for an abstract one."""

    host: str = LOCAL
    port: int = PORT
    path: str = ""

    @property
    def shown(self) -> str:
        return self.path.replace("\0", "@") or endpoint.joined(self.host, self.port)

    def connect(self) -> socket.socket:
        """Raises OSError."""
        if not self.path:
            return endpoint.connect(self.host, self.port, CONNECT_S)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(CONNECT_S)
            made.connect(self.path)
        except OSError:
            made.close()
            raise
        return made


class Refused(Exception):
    """The server's own words for why it does not do what it was asked."""


def request(server: Server, *services: str) -> socket.socket:
    """The server's socket, after it has said yes to each service. Raises Refused, OSError."""
    made = server.connect()
    try:
        made.settimeout(ANSWER_S)
        for service in services:
            data = service.encode("utf-8", "surrogateescape")
            if len(data) > LONGEST_BYTES:
                raise Refused(f"request too long: {len(data):,} bytes")
            made.sendall(b"%04x" % len(data) + data)
            status = _exactly(made, 4)
            if status == b"FAIL":
                raise Refused(block(made))
            if status != b"OKAY":
                raise ConnectionError(f"unexpected answer {status!r}: not an adb server")
    except BaseException:
        made.close()
        raise
    return made


def ask(server: Server, service: str) -> str:
    """The answer to a question. Raises Refused, OSError."""
    with request(server, service) as made:
        return block(made)


def block(made: socket.socket) -> str:
    """Text with its length before it. Raises OSError."""
    size = _exactly(made, 4)
    if not re.fullmatch(rb"[0-9a-fA-F]{4}", size):
        raise ConnectionError(f"invalid length {size!r}")
    return _exactly(made, int(size, 16)).decode("utf-8", "surrogateescape")


def _exactly(made: socket.socket, size: int) -> bytes:
    data, until = bytearray(), time.monotonic() + ANSWER_S
    while len(data) < size:
        if (left_s := until - time.monotonic()) <= 0:
            raise TimeoutError(f"incomplete answer after {ANSWER_S:g} s")
        made.settimeout(left_s)
        try:
            more = made.recv(size - len(data))
        except TimeoutError:
            continue
        if not more:
            raise ConnectionError("connection closed without an answer")
        data += more
    return bytes(data)


# ---- where it is -------------------------------------------------------------------------------


def default(env: Mapping[str, str] = os.environ) -> Server:
    """The server that `adb` itself asks; raises UsageError for variables that it refuses.

    ADB_SERVER_SOCKET counts alone, else ANDROID_ADB_SERVER_ADDRESS and ANDROID_ADB_SERVER_PORT.
    """
    if (spec := env.get("ADB_SERVER_SOCKET")) is not None:
        try:
            return _of_socket(spec)
        except ValueError as error:
            raise UsageError(
                f"ADB_SERVER_SOCKET={spec}: {error}", "Set it to tcp:HOST:PORT, or unset it."
            ) from error
    return Server(_host(env.get("ANDROID_ADB_SERVER_ADDRESS")), port(env))


def port(env: Mapping[str, str]) -> int:
    """ANDROID_ADB_SERVER_PORT, as strtol reads it. Raises UsageError."""
    text = env.get("ANDROID_ADB_SERVER_PORT", "")
    found = re.fullmatch(r"\s*\+?(0[xX][0-9a-fA-F]+|[0-9]+)", text, re.ASCII)
    number = int(found[1], 16 if found[1][:2].lower() == "0x" else 10) if found else PORT
    if (text and not found) or not 1 <= number <= 65535:
        raise UsageError(
            f"ANDROID_ADB_SERVER_PORT={text} is not a port",
            "Set a number from 1 to 65535, or unset it.",
        )
    return number


def _host(text: str | None) -> str:
    """ANDROID_ADB_SERVER_ADDRESS. Raises UsageError."""
    if text is None:
        return LOCAL
    try:
        host, more = endpoint.split(text)
        if more is not None:
            raise ValueError("set the port in ANDROID_ADB_SERVER_PORT instead")
    except ValueError as error:
        raise UsageError(
            f"ANDROID_ADB_SERVER_ADDRESS={text}: {error}", "Set it to a host, or unset it."
        ) from error
    return host


def _of_socket(spec: str) -> Server:
    """`tcp:PORT`, `tcp:HOST:PORT`, or a Unix socket. Raises ValueError."""
    kind, _, place = spec.partition(":")
    if kind in ("local", "localfilesystem") and place:
        return Server(path=place)
    if kind == "localabstract" and place and sys.platform == "linux":
        return Server(path=f"\0{place}")
    if kind != "tcp":
        raise ValueError("unsupported socket type")
    if place.isascii() and place.isdigit():
        return Server(port=endpoint.number(place))
    host, number = endpoint.split(place)
    return Server(host, PHONE_PORT if number is None else number)


def of_address(text: str) -> tuple[Server, str]:
    """`[host[:port]/]serial` -> server and serial. Raises ValueError, UsageError."""
    where, slash, serial = text.rpartition("/")
    if not serial or serial != serial.strip():
        raise ValueError("missing serial number")
    if not _SERIAL.fullmatch(serial):
        raise ValueError(f"'{serial}' is not a serial number")
    if not slash:
        return default(), serial
    host, number = endpoint.split(where) if where else (LOCAL, None)
    return Server(host, port(os.environ) if number is None else number), serial
