"""What was written survives a power cut: files and the folders that name them are on the disk."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """A name that was made or replaced in the folder stays there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Every file below the folder, and every name; links are not followed."""
    for path, folders, files in os.walk(folder):
        for name in files:
            _sync_file(Path(path, name))
        for name in folders:
            if not Path(path, name).is_symlink():
                sync_folder(Path(path, name))
    sync_folder(folder)


def _sync_file(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        return
    with suppress(PermissionError):  # what its owner may not read is nobody's to keep
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
