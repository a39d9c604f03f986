"""One input to one reader: taken, refused, or a failure; with its time and memory."""

from __future__ import annotations

import resource
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .target import Reader, Target

LONGEST_S: Final = 1.0
#: nor may it wait: for a lock, a process, an answer that does not come
WAIT_S: Final = 20.0
MOST_BYTES: Final = 256 << 20
#: an input that took too long may have been disturbed by others here: the best of so many counts
TRIES: Final = 3
_PAGE: Final = resource.getpagesize()


@dataclass(frozen=True)
class Seen:
    """`failure`: what is wrong with the reader; empty when it took or refused the input.

    `seconds` of a CPU.
    """

    taken: bool
    seconds: float
    grown_bytes: int
    failure: str = ""


def attempt(target: Target, read: Reader, data: bytes) -> Seen:
    """What the reader makes of an input, within its limits."""
    seen = _once(target, read, data)
    for _ in range(TRIES - 1):
        if seen.failure or seen.seconds <= LONGEST_S:
            break
        again = _once(target, read, data)
        seen = again if again.seconds < seen.seconds else seen
    if seen.failure:
        return seen
    if seen.seconds > LONGEST_S:
        return Seen(seen.taken, seen.seconds, seen.grown_bytes, f"took {seen.seconds:.1f} s")
    if seen.grown_bytes > MOST_BYTES:
        what = f"took {seen.grown_bytes >> 20} MB of memory"
        return Seen(seen.taken, seen.seconds, seen.grown_bytes, what)
    return seen


def _once(target: Target, read: Reader, data: bytes) -> Seen:
    before, peak = _resident(), _peak()
    began, clock = time.process_time(), time.monotonic()
    taken, failure = True, ""
    try:
        read(data)
    except target.refuses:
        taken = False
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        failure = _where(error)
    seconds, waited = time.process_time() - began, time.monotonic() - clock
    if waited - seconds > WAIT_S and not failure:
        failure = f"waited for {waited:.0f} s"
    grown = _peak() - before if _peak() > peak else 0
    return Seen(taken, seconds, max(0, grown), failure)


def _where(error: BaseException) -> str:
    """`ValueError: … (harness/x.py:12 in f)`, the last line of bench's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/harness/" in frame.filename] or frames
    last = own[-1]
    said = " ".join(str(error).split())[:200].encode("ascii", "backslashreplace").decode()
    name = Path(last.filename)
    place = f"{name.parent.name}/{name.name}:{last.lineno} in {last.name}"
    return f"{type(error).__name__}: {said} ({place})"


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
