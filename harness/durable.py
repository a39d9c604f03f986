"""Makes writes survive a power cut: syncs files and the folders that name them to the disk."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Sync names that were created or replaced in the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Sync every file and every name below the folder; links are not followed."""
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
    with suppress(PermissionError):  # unreadable even for its owner: nothing to preserve
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
