"""Limits what a job writes, in both engines: each file by the kernel, the total by a watch.

A job that fills the disk would end the run, since no results could be written.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import StepFailed
from ..untrusted.budget import FLOOR_BYTES
from . import JobSpec

#: minimum number of files that can still be created
FLOOR_FILES: Final = 10_000
LEAST_BYTES: Final = 1 << 20
#: files and folders that a job may create
MOST_FILES: Final = 100_000
#: files that a job may have open at once; users other than root can rarely allow more
OPEN_FILES: Final = 4096
LOOK_S: Final = 1.0
#: exit codes of a process that the kernel killed for exceeding the file size limit
TOO_LARGE: Final = (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
SAID: Final = "File too large"


def largest_file(job: JobSpec) -> int:
    """Maximum bytes of one file: the job's limit, or the free space of its disk."""
    rooms = (_free_bytes(folder) - FLOOR_BYTES for folder in writable(job))
    return max(LEAST_BYTES, min((job.disk_bytes, *rooms)))


def writable(job: JobSpec) -> tuple[Path, ...]:
    """Folders of this machine that the job may write to."""
    return tuple(mount.host for mount in job.mounts if mount.writable)


class DiskWatch:
    """Watches what a job writes; `reason` says why it was stopped."""

    def __init__(self, folders: Sequence[Path], most_bytes: int) -> None:
        self._folders, self._most_bytes = folders, most_bytes
        self.reason = ""

    def look(self) -> str:
        """Why the job must stop now; empty if it may continue."""
        for folder in self._folders:
            if (free := _free_bytes(folder)) < FLOOR_BYTES:
                return f"the disk of {folder} is full: {free / 1e6:.0f} MB left"
            if (left := _free_files(folder)) < FLOOR_FILES:
                return f"the disk of {folder} is full: room for {left:,} more files"
        count = size = 0
        for found in (one for folder in self._folders for one in _stats(folder)):
            count, size = count + 1, size + found
            if count > MOST_FILES:
                return f"the job created more than {MOST_FILES:,} files"
            if size > self._most_bytes:
                return f"the job wrote more than {self._most_bytes / 1e6:,.0f} MB"
        return ""


@contextmanager
def watched(
    job: JobSpec, end: Callable[[], None], more: Sequence[Path] = ()
) -> Iterator[DiskWatch]:
    """In the body, `end` is called once if the job writes more than it may.

    `more`: other folders that it writes to.
    """
    watch, over = DiskWatch((*writable(job), *more), job.disk_bytes), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            try:
                watch.reason = watch.look()
            except OSError as error:  # without a sandbox a job can remove its folder
                watch.reason = f"{error.filename}: {error.strerror}"
            if watch.reason:
                end()
                return

    thread = threading.Thread(target=look, name="disk watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def check(job: JobSpec, watch: DiskWatch, exit_code: int, said: str) -> None:
    """Raises StepFailed for a job that was stopped, or failed, because of its disk limits."""
    hint = f"See the log {job.log}."
    if watch.reason:
        raise StepFailed(f"{watch.reason}; it was stopped", hint)
    if exit_code in TOO_LARGE or (exit_code and SAID in said):
        raise StepFailed("the job exceeded the file size limit", hint)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _free_files(folder: Path) -> int:
    """Some file systems do not count files; they always have room."""
    found = os.statvfs(folder)
    return found.f_favail if found.f_files else FLOOR_FILES


def _stats(folder: Path) -> Iterator[int]:
    """Bytes on the disk of each file and folder; hard links count once."""
    seen: set[tuple[int, int]] = set()
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
                    key = found.st_dev, found.st_ino
                    yield 0 if key in seen else found.st_blocks * 512
                    if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                        seen.add(key)
        except OSError:  # removed meanwhile, or unreadable: the free space still counts
            continue
