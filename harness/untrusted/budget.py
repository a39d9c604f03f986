"""How much may come back of a job or a device, and for how long it may take."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

from ..errors import JobTimeout
from .names import NotTaken, not_regular

#: so many bytes of a budget are worth a second; what comes back is far smaller than its budget
BYTES_PER_S: Final = 8 << 20
PATIENCE_S: Final = 60.0
#: a disk with less than this left is full: results have to be written, too
FLOOR_BYTES: Final = 256 << 20
#: folders within folders
DEEPEST: Final = 32


@dataclass(frozen=True)
class Budget:
    """The most that is taken over; one file unless `files` says more."""

    size_bytes: int
    files: int = 1

    @property
    def seconds(self) -> float:
        """How long a device may take to send it, all in all."""
        return PATIENCE_S + self.size_bytes / BYTES_PER_S


@dataclass(frozen=True)
class Leaf:
    """A file, or a folder where the budget has several, that a job may leave under this name."""

    name: str
    budget: Budget
    required: bool = True


#: of a transfer that has no other
USUAL: Final = Budget(16 << 30, files=10_000)


def free_bytes(folder: int) -> int:
    """What may be written to the disk of an open folder, so that it is not full."""
    found = os.fstatvfs(folder)
    return max(0, found.f_bavail * found.f_frsize - FLOOR_BYTES)


class Allowance:
    """What is left of a budget."""

    def __init__(self, budget: Budget, room_bytes: int | None = None) -> None:
        """`room_bytes`: what the disk has for it; holes of a file take some when it is copied."""
        self._budget = budget
        self._files, self._bytes = budget.files, budget.size_bytes
        self._over = f"is more than the {budget.size_bytes:,} bytes that are taken over"
        if room_bytes is not None and room_bytes < self._bytes:
            self._bytes = room_bytes
            self._over = f"is more than the {room_bytes:,} bytes that the disk has room for"
        self._until = time.monotonic() + budget.seconds

    @property
    def left_s(self) -> float:
        """Seconds to the deadline. Raises JobTimeout past it."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise JobTimeout(f"it took longer than {self._budget.seconds:.0f} s")
        return left

    def folder(self, name: str) -> None:
        """Raises StepFailed where one file is all that was asked for."""
        if self._budget.files == 1:
            raise not_regular(name, "a folder")

    def entry(self, name: str, depth: int) -> None:
        """Count one file or folder. Raises StepFailed when it is one too many."""
        self._files -= 1
        if self._files < 0:
            most = f"{self._budget.files:,} files"
            raise NotTaken(f"{name}: is more than the {most} that are taken over")
        if depth > DEEPEST:
            raise NotTaken(f"{name}: lies deeper than {DEEPEST} folders")

    def spend(self, name: str, size: int) -> None:
        """Count bytes, before there is room made for them. Raises StepFailed when too many."""
        self._bytes -= size
        if self._bytes < 0:
            raise NotTaken(f"{name}: {self._over}")
