"""The user who runs jobs if bench itself runs as root: unprivileged, in either engine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

USER_ID: Final = 1000
#: maximum processes and threads of a job
MOST_TASKS: Final = 1024


def give(folders: Iterable[Path], to: int = USER_ID) -> None:
    """If bench is root, gives a job's writable folders to its user; no link is followed."""
    if os.getuid() != 0 or not to:
        return
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, to, to, follow_symlinks=False)


def most_tasks(of: int) -> int:
    """The kernel's limit for a job of this user, which includes the user's other tasks."""
    return MOST_TASKS + sum(_tasks(folder, of) for folder in Path("/proc").glob("[0-9]*"))


def _tasks(process: Path, of: int) -> int:
    """Threads of a process; 0 if it is another user's."""
    try:
        return (process / "task").stat().st_nlink - 2 if process.stat().st_uid == of else 0
    except OSError:  # it has ended
        return 0
