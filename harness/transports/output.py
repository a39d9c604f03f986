"""What a command prints, kept up to a limit and told line by line."""

from __future__ import annotations

from ..errors import StepFailed
from .lines import Lines

#: more than this is a file's business, bytes
LIMIT_BYTES = 256 << 20


class Collected:
    """Both outputs of one command."""

    def __init__(self, out_lines: Lines, err_lines: Lines, command: str) -> None:
        self._lines = (out_lines, err_lines)
        self._chunks: tuple[list[bytes], list[bytes]] = ([], [])
        self._size = 0
        self._command = command

    def add(self, data: bytes, *, is_error: bool) -> None:
        """Some more bytes. Raises StepFailed over the limit."""
        self._size += len(data)
        if self._size > LIMIT_BYTES:
            raise StepFailed(
                f"{self._command}: printed more than {LIMIT_BYTES >> 20} MB and was ended",
                "let it write a file, and pull that",
            )
        self._chunks[is_error].append(data)
        self._lines[is_error].feed(data)

    def finish(self) -> tuple[bytes, bytes]:
        """Standard output and standard error, whole."""
        for lines in self._lines:
            lines.end()
        return b"".join(self._chunks[0]), b"".join(self._chunks[1])
