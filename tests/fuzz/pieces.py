"""A piece of a long run: so many inputs to one reader, in a process of its own.

The first of them are watched: one that leads to a line of bench, from a line, that none led to
before is kept, and further inputs are made of it.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any, Final

from harness.untrusted.removal import remove

from .large import LARGE
from .mutate import LARGE_BYTES, Mutator
from .target import Target
from .trial import Seen, attempt

CORPUS: Final = Path(__file__).parent / "corpus"
#: of the inputs, those that are watched
WATCHED_OF, MOST_WATCHED = 16, 600
#: watching a long one takes long
SHORT_BYTES: Final = 16 << 10
#: beyond what the process has at its start: runaways end here
SPARE_BYTES: Final = 2 << 30
_OWN: Final = str(Path(__file__).parents[2] / "harness")


@dataclass
class Counted:
    """What a piece has come to."""

    target: str
    seed: str
    inputs: int = 0
    taken: int = 0
    slowest_ms: float = 0.0
    peak_mb: float = 0.0
    seconds: float = 0.0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        self.inputs += 1
        self.taken += seen.taken and not seen.failure
        self.slowest_ms = max(self.slowest_ms, seen.seconds * 1e3)
        self.peak_mb = max(self.peak_mb, seen.grown_bytes / 1e6)


def corpus_of(name: str) -> dict[str, bytes]:
    """Inputs that once broke this reader, by name."""
    folder = folder_of(name)
    kept = {path.name: path.read_bytes() for path in (CORPUS / folder).glob("*") if path.is_file()}
    return dict(sorted((kept | LARGE.get(folder, {})).items()))


def folder_of(name: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in name.lower())


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is one."""
    memory = Path("/dev/shm")
    where = str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="bench-fuzz-", dir=where))
    try:
        yield folder
    finally:
        remove(folder)


def fuzz(target: Target, seed: str, count: int, now: mmap.mmap | None = None) -> Counted:
    """`count` inputs that follow from `seed`; failures by what went wrong, with their input."""
    counted = Counted(target.name, seed)
    seeds = [*target.seeds(), *corpus_of(target.name).values()]
    mutator = Mutator(seeds, Random(seed), target.words, target.shapes)
    watch = Watch()
    with scratch() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
        read = target.make(folder)
        for data in seeds:
            attempt(
                target, read, data
            )  # what is imported and cached at first is no memory of theirs
        for number in range(count):
            data = mutator.next()
            if now is not None:
                _note(now, data)
            is_watched = number < min(count // WATCHED_OF, MOST_WATCHED) and len(data) < SHORT_BYTES
            seen = (
                _watched(watch, target, read, data, mutator)
                if is_watched
                else attempt(target, read, data)
            )
            counted.add(seen)
            if seen.failure:
                _keep(counted, seen, data)
            out.seek(0)
            out.truncate()
    counted.kept = len(mutator.pool) - len(seeds)
    return counted


def _watched(watch: Watch, target: Target, read: Any, data: bytes, mutator: Mutator) -> Seen:
    """Watching takes time itself, so that one which is too slow is tried again without."""
    with watch:
        seen = attempt(target, read, data)
    if watch.is_new():
        mutator.pool.append(data)
    return attempt(target, read, data) if seen.failure or seen.seconds > 0.2 else seen


class Watch:
    """Steps from line to line of bench."""

    def __init__(self) -> None:
        self._known: set[tuple[CodeType, int, int]] = set()
        self._count = 0

    def __enter__(self) -> None:
        self._count = len(self._known)
        sys.settrace(self._call)

    def __exit__(self, *exc: object) -> None:
        sys.settrace(None)

    def is_new(self) -> bool:
        return len(self._known) > self._count

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_OWN):
            return None
        last, known = 0, self._known

        def line(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal last
            known.add((code, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line


def _note(now: mmap.mmap, data: bytes) -> None:
    """For whoever finds this process dead."""
    now[:8] = len(data).to_bytes(8, "little")
    now[8 : 8 + len(data)] = data


def _keep(counted: Counted, seen: Seen, data: bytes) -> None:
    """The smallest input of each failure."""
    known = counted.failures.get(seen.failure)
    if known is None or len(data) * 2 < len(known):
        counted.failures[seen.failure] = data.hex()


# ---- its process -------------------------------------------------------------------------------


def limit() -> None:
    """In a process of its own: a runaway ends, and the machine goes on."""
    with open("/proc/self/statm", "rb") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_BYTES, size + SPARE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def shared() -> mmap.mmap:
    return mmap.mmap(-1, LARGE_BYTES + 8)


def noted(now: mmap.mmap) -> bytes:
    return now[8 : 8 + int.from_bytes(now[:8], "little")]
