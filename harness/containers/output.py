"""Output of a build or a job: a log up to a limit, lines for a callback, its end in memory."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ..lines import Lines

TAIL_BYTES: Final = 64 << 10
CHUNK_BYTES: Final = 64 << 10
#: how often a silent process is checked for its end, and how long the rest of its pipe may take to
#: be read
LOOK_S: Final = 0.1
DRAIN_S: Final = 2.0
LAST_LINES: Final = 15
#: maximum characters of each line
LONGEST_SHOWN: Final = 500
#: maximum size of a log; the end of the output stays in memory
LOG_BYTES: Final = 64 << 20
CUT: Final = f"\n… output truncated: a log has at most {LOG_BYTES >> 20} MB\n".encode()


class JobOutput:
    """Takes bytes as they come; a line is given to `on_line` when it is complete."""

    def __init__(self, file: BinaryIO, on_line: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._room = max(0, LOG_BYTES - file.tell())
        self._is_cut = not self._room
        self._lines = Lines(on_line)
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Keep a piece of output; it may end within a line or a character."""
        self._log(chunk)
        self._tail += chunk
        del self._tail[:-TAIL_BYTES]
        self._lines.feed(chunk)

    def finish(self) -> None:
        """Tell of a last line that has no end."""
        self._lines.end()

    def text(self) -> str:
        """The last 64 KB."""
        return self._tail.decode("utf-8", "replace")

    def last_lines(self) -> str:
        """The last 15 lines, indented, as an error message shows them."""
        lines = self.text().rstrip().splitlines()[-LAST_LINES:]
        return "\n".join(f"    {line[:LONGEST_SHOWN]}" for line in lines)

    def _log(self, chunk: bytes) -> None:
        if self._is_cut:
            return
        self._is_cut = len(chunk) > self._room
        self._file.write(chunk[: self._room] + CUT if self._is_cut else chunk)
        self._file.flush()
        self._room -= len(chunk)


def follow(process: subprocess.Popen[bytes], output: JobOutput) -> int:
    """Read what a process prints as it arrives; returns its exit code.

    Processes that it started may keep its output open after its end: they are not waited for.
    """
    assert process.stdout is not None
    poll, over_at = select.poll(), float("inf")
    poll.register(process.stdout, select.POLLIN)
    while time.monotonic() < over_at:
        is_ready = poll.poll(LOOK_S * 1e3)
        if is_ready:
            chunk = os.read(process.stdout.fileno(), CHUNK_BYTES)
            if not chunk:
                break
            output.feed(chunk)
        if process.poll() is not None:
            over_at = min(over_at, time.monotonic() + (DRAIN_S if is_ready else 0.0))
    return process.wait()


@contextmanager
def to_file(
    log: Path, on_line: Callable[[str], None] | None = None, *, append: bool = False
) -> Iterator[JobOutput]:
    """An `JobOutput` whose file is `log`; its folder is made."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab" if append else "wb") as file:
        output = JobOutput(file, on_line)
        yield output
        output.finish()
