"""Sizes and removal of files and folders, never through a symbolic link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import BenchError, StepFailed
from ..untrusted import removal


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files below a folder; hard links once, without link targets."""
    seen: dict[tuple[int, int], int] = {}
    for found in _stats(path):
        if stat.S_ISREG(found.st_mode):
            seen[found.st_dev, found.st_ino] = found.st_size
    return sum(seen.values())


def last_used(path: Path) -> float:
    """The newest access or modification time of its files."""
    times = (max(found.st_atime, found.st_mtime) for found in _stats(path, folders=False))
    return max(times, default=path.lstat().st_mtime)


def remove(path: Path, inside: Path) -> None:
    """Delete `path` in the folder `inside`; of a symbolic link only the link.

    Raises BenchError if it is elsewhere or cannot be deleted.
    """
    if path.parent.resolve() != inside.resolve():
        raise BenchError(f"{path}: not in {inside}", "Delete it manually if it is not needed.")
    try:
        removal.remove(path)
    except StepFailed as error:
        raise BenchError(error.message, f"Delete {path} as its owner or as root.") from None


def _stats(path: Path, *, folders: bool = True) -> Iterator[os.stat_result]:
    """Of a file, or of all files below a folder at any depth; skips unreadable ones."""
    waiting = [path]
    while waiting:
        one = waiting.pop()
        try:
            found = one.lstat()
            is_folder = stat.S_ISDIR(found.st_mode)
            waiting += one.iterdir() if is_folder else ()
        except OSError:
            continue
        if folders or not is_folder:
            yield found
