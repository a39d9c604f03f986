"""What a build or a job prints: all of it to a file, lines to a callback, its end in memory."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

TAIL_BYTES: Final = 64 * 1024
LAST_LINES: Final = 15


class JobOutput:
    """Takes bytes as they come; a line is given to `on_line` when it is complete."""

    def __init__(self, file: BinaryIO, on_line: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._on_line = on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Keep a piece of output; it may end in the middle of a line or a character."""
        self._file.write(chunk)
        self._file.flush()
        self._tail += chunk
        del self._tail[:-TAIL_BYTES]
        *lines, self._line = (self._line + self._decoder.decode(chunk)).split("\n")
        self._tell(lines)

    def finish(self) -> None:
        """Tell of a last line that has no end."""
        self._tell([self._line] if self._line else [])
        self._line = ""

    def text(self) -> str:
        """The last 64 KB."""
        return self._tail.decode("utf-8", "replace")

    def last_lines(self) -> str:
        """The last 15 lines, indented, as an error message shows them."""
        lines = self.text().rstrip().splitlines()[-LAST_LINES:]
        return "\n".join(f"    {line}" for line in lines)

    def _tell(self, lines: list[str]) -> None:
        if self._on_line:
            for line in lines:
                self._on_line(line.rstrip("\r"))


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
