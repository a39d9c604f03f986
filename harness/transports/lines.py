"""Bytes as they come, cut into lines of text."""

from __future__ import annotations

from collections.abc import Callable


class Lines:
    """Calls `on_line` for each line as soon as it is whole; what is not UTF-8 shows escaped."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Some more bytes."""
        if self._on_line is None:
            return
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._tell(line)

    def end(self) -> None:
        """No more bytes: a last line without its newline is one, too."""
        if self._on_line is not None and self._rest:
            self._tell(self._rest)
            self._rest = b""

    def _tell(self, line: bytes) -> None:
        assert self._on_line is not None
        self._on_line(line.removesuffix(b"\r").decode("utf-8", "backslashreplace"))
