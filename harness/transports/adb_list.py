"""The devices that hang on a running adb server. Knows adbutils; starts no server."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import adbutils

from ..errors import DeviceLost
from .adb_server import ANSWER_S, PORT


@dataclass(frozen=True)
class Listed:
    """One line of `adb devices -l`; `state` is device, unauthorized, offline, …"""

    serial: str
    state: str
    model: str = ""


def listed(host: str = "127.0.0.1", port: int | None = None) -> tuple[Listed, ...]:
    """All devices of the server, whatever their state. Raises DeviceLost when none answers."""
    number = port or int(os.environ.get("ANDROID_ADB_SERVER_PORT", str(PORT)))
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
    serial, _, rest = line.strip().partition(" ")
    state, _, more = rest.strip().partition(" ")
    if state == "no":  # no permissions (user in plugdev group; …)
        state, more = "no permissions", ""
    pairs = dict(word.split(":", 1) for word in more.split() if ":" in word)
    return Listed(serial, state, pairs.get("model", "").replace("_", " "))
