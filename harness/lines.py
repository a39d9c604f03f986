"""Splits output into lines of text: bounded for any input, in linear time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: longer lines are truncated
LONGEST_BYTES: Final = 64 << 10
CUT: Final = f" … (line truncated after {LONGEST_BYTES >> 10} KB)"


class Lines:
    """Calls `on_line` for each complete line; invalid UTF-8 is shown escaped."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._line = bytearray()
        self._is_cut = False

    def feed(self, data: bytes) -> None:
        """Some more bytes."""
        if self._on_line is None:
            return
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._add(data, start, end)
            self._tell(self._on_line)
            start = end + 1
        self._add(data, start, len(data))

    def end(self) -> None:
        """No more bytes: a last line without its newline is one, too."""
        if self._on_line is not None and self._line:
            self._tell(self._on_line)

    def _add(self, data: bytes, start: int, end: int) -> None:
        room = LONGEST_BYTES - len(self._line)
        self._is_cut = self._is_cut or end - start > room
        self._line += data[start : min(end, start + room)]

    def _tell(self, on_line: Callable[[str], None]) -> None:
        line = self._line.decode("utf-8", "backslashreplace").removesuffix("\r")
        if self._is_cut:
            line += CUT
        self._line.clear()
        self._is_cut = False
        on_line(line)
