"""What a command prints, kept up to a limit and told line by line."""

from __future__ import annotations

from ..errors import StepFailed
from ..lines import Lines

#: more belongs into a file; the sampler of a machine with 256 CPUs prints as much in 70 min
LIMIT_BYTES = 128 << 20


class Collected:
    """Both outputs of one command."""

    def __init__(self, out_lines: Lines, err_lines: Lines, command: str) -> None:
        self._lines = (out_lines, err_lines)
        self._kept = (bytearray(), bytearray())
        self._command = command

    def add(self, data: bytes, *, is_error: bool) -> None:
        """Some more bytes. Raises StepFailed over the limit."""
        if sum(map(len, self._kept)) + len(data) > LIMIT_BYTES:
            raise StepFailed(
                f"{self._command}: stopped after more than {LIMIT_BYTES >> 20} MB of output",
                "Write the output to a file and pull that.",
            )
        self._kept[is_error].extend(data)
        self._lines[is_error].feed(data)

    def finish(self) -> tuple[bytes, bytes]:
        """Standard output and standard error, whole."""
        for lines in self._lines:
            lines.end()
        return bytes(self._kept[0]), bytes(self._kept[1])
