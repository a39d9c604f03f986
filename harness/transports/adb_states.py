"""The states that adb knows a device to be in, and what to do about each."""

from __future__ import annotations

from typing import Final

#: only in `device` it takes commands as usual
ADVICE: Final = {
    "device": "",
    "offline": "unplug it and plug it in again, or restart it",
    "unauthorized": "unlock it and say Allow to 'Allow USB debugging?'",
    "authorizing": "unlock it and say Allow to 'Allow USB debugging?'",
    "connecting": "wait until it is connected",
    "no permissions": "this user may not use the USB port: adb's udev rules, or the group plugdev",
    "recovery": "it is in recovery: restart it",
    "rescue": "it is in rescue mode: restart it",
    "sideload": "it waits for an update (sideload): restart it",
    "bootloader": "it is in the bootloader: restart it",
    "host": "this is an adb server, no device",
    "detached": "attach it with `adb attach`",
    "unknown": "`adb devices -l` has more",
}


def advice(state: str) -> str:
    """What to do about a device in this state."""
    return ADVICE.get(state, ADVICE["unknown"])
