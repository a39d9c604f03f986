"""What a device's scripts have answered, by key; knows nothing of what it means.

A device may answer anything: what is no number is none, and nothing is longer or larger than it
can be.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import Final

from ..errors import StepFailed
from ..printable import last_line, printable
from ..transports import TEXT_BYTES, Transport
from . import KindSpec
from .scripts import HOME, PRELUDE

#: of a value, and of a path
LONGEST_VALUE: Final = 4096
LONGEST_PATH: Final = 1024
#: no count, size or time of a device has more digits, and none is beyond 64 bits
MOST_DIGITS: Final = 18
LARGEST: Final = float(1 << 63)


class Readings:
    """Values by key, in the order in which they came; a key may come often or not at all."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.replace("_", "").replace(".", "").isalnum():
                text = printable(value[:LONGEST_VALUE]).strip()
                self._values.setdefault(key, []).append(text)

    def all(self, key: str) -> list[str]:
        return self._values.get(key, [])

    def last(self, key: str) -> str | None:
        return self._values[key][-1] if key in self._values else None

    def first(self, key: str) -> str | None:
        return self._values[key][0] if key in self._values else None

    def number(self, key: str) -> float | None:
        """The first word of the last value."""
        return number((self.last(key) or "").split(" ")[0])

    def bytes(self, key: str) -> int | None:
        """Of a value in KiB."""
        kib = self.number(key)
        return int(kib) * 1024 if kib is not None and 0 <= kib < LARGEST / 1024 else None


def ask(transport: Transport, spec: KindSpec, *scripts: str, timeout_s: float) -> Readings:
    """One round trip. Raises DeviceLost, JobTimeout, StepFailed when the device has no shell."""
    script = "".join((PRELUDE, HOME, *scripts, "\nexit 0\n"))
    done = transport.run(["sh", "-c", script, "sh", spec.workdir], timeout_s=timeout_s)
    if len(done.stdout) > TEXT_BYTES:
        raise StepFailed(
            f"{transport.name}: it answers with {len(done.stdout) / 1e6:.0f} MB where a few KB are "
            "asked for",
            "Look at what its shell prints.",
        )
    readings = Readings(done.text)
    if not is_path(readings.last("workdir") or ""):
        raise StepFailed(
            f"{transport.name}: a shell script there printed nothing of what it should "
            f"(exit code {done.exit_code}): {last_line(done.stderr or done.stdout) or 'no output'}",
            "Give this user a POSIX sh there.",
        )
    return readings


def is_path(text: str) -> bool:
    """Whether it is an absolute path that can be shown and pasted."""
    return PurePosixPath(text).is_absolute() and text.isprintable() and len(text) <= LONGEST_PATH


def number(text: str) -> float | None:
    """None for what is none, `nan` and `inf` too, and what no device counts to."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < LARGEST else None


def whole(text: str) -> int | None:
    """Digits, as the kernel writes them; None for what is no such number."""
    return int(text) if re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", text) else None
