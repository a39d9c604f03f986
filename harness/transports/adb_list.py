"""The devices of a running adb server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import DeviceLost
from ..printable import printable
from . import adb_client
from .adb_client import Refused, Server
from .adb_states import ADVICE

#: what adb says where a device tells no serial, or where it may not ask for it
NO_SERIAL = ("(no serial number)", "????????????")
#: real ones have a few hundred characters
LONGEST_LINE = 1024
#: a serial may have blanks: `adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp`
_LINE = re.compile(
    rf"(?P<serial>.+?)\s+(?P<state>{'|'.join(map(re.escape, ADVICE))})"
    r"(?P<remark>\s*[(;].*?)??(?P<more>(?:\s+\S+:\S*|\s+\d+-[\d.]+)*)"
)


@dataclass(frozen=True)
class Listed:
    """One line of `adb devices -l`; `state` is device, unauthorized, offline, …"""

    serial: str
    state: str
    model: str = ""
    #: the USB port as adb names it, `usb:1-2`
    port: str = field(default="", compare=False)

    @property
    def address(self) -> str:
        """What adb finds the device by; empty when there is nothing."""
        return self.port if self.serial in NO_SERIAL else self.serial


def listed(server: Server | None = None) -> tuple[Listed, ...]:
    """All devices of the server, by default the one that adb itself asks, whatever their state.

    Raises DeviceLost when none answers, UsageError for environment variables that make no address.
    """
    asked = server or adb_client.default()
    try:
        text = adb_client.ask(asked, "host:devices-l")
    except Refused as error:
        raise DeviceLost(f"the adb server at {asked.shown}: {error}") from error
    except OSError as error:
        raise DeviceLost(
            f"no answer from an adb server at {asked.shown}: {error}",
            "Start the server with `adb start-server`.",
        ) from error
    return tuple(parse(line) for line in text.splitlines() if line.strip())


def parse(line: str) -> Listed:
    """`R5CT10   device usb:1-2 product:p model:SM_G991B device:o1s transport_id:3`."""
    line = printable(line[:LONGEST_LINE]).strip()
    found = _LINE.fullmatch(line)
    if found is None:
        return Listed(line, "unknown")
    words = found["more"].split()
    pairs = dict(word.split(":", 1) for word in words if ":" in word)
    port = next((word for word in words if re.match(r"usb:|\d+-", word)), "")
    return Listed(found["serial"], found["state"], pairs.get("model", "").replace("_", " "), port)
