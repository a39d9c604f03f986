"""Translates errors of devices and their programs to bench's errors."""

from __future__ import annotations

from ..errors import DeviceLost, StepFailed
from ..printable import last_line, one_line

#: what systems say -> what we say, and what to do about it; the first that fits
_KNOWN = (
    (
        ("no space left", "disk quota exceeded", "file too large", "enospc"),
        "no space left",
        "Free some space, or let bench use another folder.",
    ),
    (
        ("permission denied", "operation not permitted", "eacces"),
        "permission denied",
        "Choose a folder that this user may access.",
    ),
    (("read-only file system",), "read-only file system", "Choose a writable folder."),
    (
        ("no such file", "nonexistent directory", "can't cd to"),
        "no such file or folder",
        "Check the path.",
    ),
    (("is a directory", "not a directory", "cannot overwrite", "not empty"), "", ""),
)


def refused(action: str, said: str, detail: str = "") -> StepFailed:
    """The error for a transfer that the other side, or this machine's disk, refused."""
    lower = said.lower()
    for signs, meaning, hint in _KNOWN:
        if any(sign in lower for sign in signs):
            return StepFailed(f"{action}: {meaning or last_line(said)}{detail}", hint)
    return StepFailed(f"{action}: {last_line(said) or 'failed without output'}{detail}")


def lost(name: str, doing: str, why: str) -> DeviceLost:
    """The error for a connection that broke."""
    return DeviceLost(
        f"{name}: connection lost {doing}: {one_line(why)}",
        "Check that the device is on, awake and connected.",
    )


def described(error: Exception) -> str:
    """An exception for people; its type where that is no error of the network's."""
    text = str(error)
    if text and isinstance(error, OSError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
