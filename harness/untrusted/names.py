"""How files of others are named in messages."""

from __future__ import annotations

import stat
from typing import Final

from ..errors import StepFailed

_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
SETUID: Final = "a program that runs as another user (setuid)"
_LONGEST: Final = 300


class NotTaken(StepFailed):
    """A file of a job or a device that is not taken over."""


def shown(name: str) -> str:
    """`name` in one line; only the end of a long one."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def kind(mode: int) -> str:
    """The type of a file of this mode, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


def not_regular(name: str, what: str) -> NotTaken:
    """The error for anything but a regular file."""
    return NotTaken(f"{shown(name)}: is {what}; only regular files are taken over")
