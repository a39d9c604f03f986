"""What a device's scripts have answered, by key; knows nothing of what it means."""

from __future__ import annotations

import math

from ..errors import StepFailed
from ..printable import last_line
from ..transports import Transport
from . import KindSpec
from .scripts import HOME, PRELUDE


class Readings:
    """Values by key, in the order in which they came; a key may come often or not at all."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.replace("_", "").replace(".", "").isalnum():
                self._values.setdefault(key, []).append(value.strip())

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
        return None if kib is None else int(kib) * 1024


def ask(transport: Transport, spec: KindSpec, *scripts: str, timeout_s: float) -> Readings:
    """One round trip. Raises DeviceLost, JobTimeout, StepFailed when the device has no shell."""
    script = "".join((PRELUDE, HOME, *scripts, "\nexit 0\n"))
    done = transport.run(["sh", "-c", script, "sh", spec.workdir], timeout_s=timeout_s)
    readings = Readings(done.text)
    if readings.last("workdir") is None:
        raise StepFailed(
            f"{transport.name}: a shell script there printed nothing of what it should "
            f"(exit code {done.exit_code}): {last_line(done.stderr or done.stdout) or 'no output'}",
            "Give this user a POSIX sh there.",
        )
    return readings


def number(text: str) -> float | None:
    """None for what is none, `nan` and `inf` too."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
