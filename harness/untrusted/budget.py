"""Limits of what a job or a device may return, and of the time that it may take."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

from ..errors import JobTimeout
from .names import NotTaken, not_regular

#: bytes of a budget per second of its deadline; actual results are far smaller than their budget
BYTES_PER_S: Final = 8 << 20
PATIENCE_S: Final = 60.0
#: minimum free space, so that results can still be written
FLOOR_BYTES: Final = 256 << 20
#: maximum nesting of folders
DEEPEST: Final = 32


@dataclass(frozen=True)
class Budget:
    """The maximum that is taken over; one file unless `files` says more."""

    size_bytes: int
    files: int = 1

    @property
    def seconds(self) -> float:
        """Deadline of a transfer from a device."""
        return PATIENCE_S + self.size_bytes / BYTES_PER_S


@dataclass(frozen=True)
class Leaf:
    """A file that a job may leave under this name, or a folder if the budget has several files."""

    name: str
    budget: Budget
    required: bool = True


#: of a transfer without another one
USUAL: Final = Budget(16 << 30, files=10_000)


def free_bytes(folder: int) -> int:
    """Bytes that can be written to the disk of an open folder before it is full."""
    found = os.fstatvfs(folder)
    return max(0, found.f_bavail * found.f_frsize - FLOOR_BYTES)


class Allowance:
    """What is left of a budget."""

    def __init__(self, budget: Budget, room_bytes: int | None = None) -> None:
        """`room_bytes`: free space on the disk; a copy of a sparse file takes its full size."""
        self._budget = budget
        self._files, self._bytes = budget.files, budget.size_bytes
        self._over = f"exceeds the limit of {budget.size_bytes:,} bytes"
        if room_bytes is not None and room_bytes < self._bytes:
            self._bytes = room_bytes
            self._over = f"exceeds the free space of {room_bytes:,} bytes"
        self._until = time.monotonic() + budget.seconds

    @property
    def left_s(self) -> float:
        """Seconds to the deadline. Raises JobTimeout past it."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise JobTimeout(f"took longer than {self._budget.seconds:.0f} s")
        return left

    def folder(self, name: str) -> None:
        """Raises StepFailed if only one file was requested."""
        if self._budget.files == 1:
            raise not_regular(name, "a folder")

    def entry(self, name: str, depth: int) -> None:
        """Count one file or folder. Raises StepFailed if there are too many."""
        self._files -= 1
        if self._files < 0:
            most = f"{self._budget.files:,} files"
            raise NotTaken(f"{name}: exceeds the limit of {most}")
        if depth > DEEPEST:
            raise NotTaken(f"{name}: more than {DEEPEST} folders deep")

    def spend(self, name: str, size: int) -> None:
        """Count bytes before space is allocated. Raises StepFailed if there are too many."""
        self._bytes -= size
        if self._bytes < 0:
            raise NotTaken(f"{name}: {self._over}")
