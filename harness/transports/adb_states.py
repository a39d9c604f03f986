"""The states that adb knows a device to be in, and what to do about each."""

from __future__ import annotations

from typing import Final

#: only in `device` it takes commands as usual
ADVICE: Final = {
    "device": "",
    "offline": "Unplug the device and plug it in again, or restart it.",
    "unauthorized": "Unlock the phone and confirm 'Allow USB debugging?'.",
    "authorizing": "Unlock the phone and confirm 'Allow USB debugging?'.",
    "connecting": "Wait until the device is connected.",
    "no permissions": "Install adb's udev rules, or add this user to the group plugdev.",
    "recovery": "Restart the device to leave recovery mode.",
    "rescue": "Restart the device to leave rescue mode.",
    "sideload": "Restart the device to leave sideload mode.",
    "bootloader": "Restart the device to leave the bootloader.",
    "host": "Use the address of a device, not of an adb server.",
    "detached": "Attach the device with `adb attach`.",
    "unknown": "Check the device with `adb devices -l`.",
}


def advice(state: str) -> str:
    """What to do about a device in this state."""
    return ADVICE.get(state, ADVICE["unknown"])
