"""The output of scripts on a device, by key, without interpretation.

A device may answer anything: what is not a number becomes None, and lengths and values are
bounded.
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

#: maximum length of a value, and of a path
LONGEST_VALUE: Final = 4096
LONGEST_PATH: Final = 1024
#: no count, size or time of a device has more digits, and none exceeds 64 bits
MOST_DIGITS: Final = 18
LARGEST: Final = float(1 << 63)


class Readings:
    """Values by key, in order; a key may be repeated or missing."""

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
    """One round trip. Raises DeviceLost, JobTimeout, StepFailed if the device has no shell."""
    script = "".join((PRELUDE, HOME, *scripts, "\nexit 0\n"))
    done = transport.run(["sh", "-c", script, "sh", spec.workdir], timeout_s=timeout_s)
    if len(done.stdout) > TEXT_BYTES:
        raise StepFailed(
            f"{transport.name}: printed {len(done.stdout) / 1e3:,.0f} KB, expected a few",
            "Check what its shell prints.",
        )
    readings = Readings(done.text)
    if not is_path(readings.last("workdir") or ""):
        raise StepFailed(
            f"{transport.name}: unexpected output of a shell script "
            f"(exit code {done.exit_code}): {last_line(done.stderr or done.stdout) or 'no output'}",
            "Give this user a POSIX sh on the device.",
        )
    return readings


def is_path(text: str) -> bool:
    """Whether it is an absolute path that can be shown and pasted."""
    return PurePosixPath(text).is_absolute() and text.isprintable() and len(text) <= LONGEST_PATH


def number(text: str) -> float | None:
    """None for anything else, including `nan`, `inf` and implausibly large numbers."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < LARGEST else None


def whole(text: str) -> int | None:
    """Digits, as the kernel writes them; None for anything else."""
    return int(text) if re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", text) else None
