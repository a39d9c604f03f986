"""Removes a folder with arbitrary content: any depth, any permissions; follows no link."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Final

from ..errors import StepFailed
from .files import handle

#: how long to keep trying while a process still writes there, seconds
PATIENCE_S: Final = 60.0
#: opens files without read or write permission; Linux only
_ONLY_PATH: Final = getattr(os, "O_PATH", 0)
#: errors caused by a process that still writes there
_AGAIN: Final = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def remove(path: Path) -> None:
    """Remove a file or folder. Raises StepFailed if that is not possible."""
    until = time.monotonic() + PATIENCE_S
    while os.path.lexists(path):
        try:
            with handle(path.parent) as parent:
                _remove(path.name, parent)
        except OSError as error:
            if error.errno not in _AGAIN or time.monotonic() > until:
                why = error.strerror or str(error)
                raise StepFailed(f"{path}: cannot remove: {why}") from None


def _remove(name: str, parent: int) -> None:
    if not _is_folder(name, parent):
        os.unlink(name, dir_fd=parent)
        return
    _unlock(name, parent)
    with handle(name, parent) as root:
        while entries := os.listdir(root):  # noqa: PTH208 – a handle, no path
            for entry in entries:
                _flatten(entry, root)
    os.rmdir(name, dir_fd=parent)


def _flatten(name: str, root: int) -> None:
    """Remove a file of `root`; of a folder remove the files, and move its folders up to `root`."""
    if not _is_folder(name, root):
        os.unlink(name, dir_fd=root)
        return
    _unlock(name, root)
    with handle(name, root) as inner:
        for entry in os.listdir(inner):  # noqa: PTH208 – a handle, no path
            if _is_folder(entry, inner):
                _unlock(entry, inner)
                os.rename(entry, secrets.token_hex(16), src_dir_fd=inner, dst_dir_fd=root)
            else:
                os.unlink(entry, dir_fd=inner)
    os.rmdir(name, dir_fd=root)


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _unlock(name: str, parent: int) -> None:
    """Give this user access to a folder, without following what may have replaced it."""
    if not _ONLY_PATH:
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    flags = _ONLY_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
    opened = os.open(name, flags, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{opened}", 0o700)  # noqa: PTH101 – a handle, no path
    finally:
        os.close(opened)
