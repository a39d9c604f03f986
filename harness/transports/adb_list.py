"""The devices that hang on a running adb server. Knows adbutils; starts no server."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

import adbutils

from ..errors import DeviceLost
from .adb_server import ANSWER_S, PORT, server

#: a serial may have blanks: `adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp`
_LINE = re.compile(
    r"(?P<serial>.+?)\s+(?P<state>device|offline|unauthorized|authorizing|connecting|recovery|rescue"
    r"|sideload|bootloader|host|detached|unknown|no permissions)(?=\s|$|;)(?P<more>.*)$"
)


@dataclass(frozen=True)
class Listed:
    """One line of `adb devices -l`; `state` is device, unauthorized, offline, …"""

    serial: str
    state: str
    model: str = ""


def listed(host: str = "", port: int | None = None) -> tuple[Listed, ...]:
    """All devices of the server, by default the one that adb itself asks, whatever their state.

    Raises DeviceLost when none answers, UsageError for environment variables that make no address.
    """
    if not host:
        host, default = server()
        port = port or default
    number = port or PORT
    try:  # adbutils would start a server of its own where none answers
        socket.create_connection((host, number), 3).close()
    except OSError as error:
        raise DeviceLost(
            f"no adb server answers at {host}:{number}: {error}", "`adb start-server`"
        ) from error
    connection = adbutils.AdbClient(host, number).make_connection(ANSWER_S)
    try:
        connection.send_command("host:devices-l")
        connection.check_okay()
        text = connection.read_string_block()
    except (adbutils.AdbError, OSError) as error:
        raise DeviceLost(f"the adb server at {host}:{number}: {error}") from error
    finally:
        connection.conn.close()
    return tuple(parse(line) for line in text.splitlines() if line.strip())


def parse(line: str) -> Listed:
    """`R5CT10   device usb:1-2 product:p model:SM_G991B device:o1s transport_id:3`."""
    found = _LINE.match(line.strip())
    if found is None:
        return Listed(line.strip(), "unknown")
    serial, state, more = found["serial"], found["state"], found["more"]
    pairs = dict(word.split(":", 1) for word in more.split() if ":" in word)
    return Listed(serial, state, pairs.get("model", "").replace("_", " "))
