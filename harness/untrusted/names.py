"""What is said of files that others have named."""

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
    """What others have left or sent is none that is taken over."""


def shown(name: str) -> str:
    """`name` in one line, whatever is in it; the end of a long one."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def kind(mode: int) -> str:
    """What a file of this mode is, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")


def not_regular(name: str, what: str) -> NotTaken:
    """The error for what is no plain file."""
    return NotTaken(f"{shown(name)}: is {what}; only regular files are taken over")
