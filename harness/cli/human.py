"""Durations, sizes and ages as people read and write them. Pure."""

from __future__ import annotations

import datetime
import re

from ..errors import UsageError

#: how an age is written on the command line
UNITS_S = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `4 min 05 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def about(seconds: float) -> str:
    """A rounded estimate: `about 40 s`, `about 12 min`, `about 2 h 10 min`."""
    if seconds < 55:
        return f"about {max(10, 10 * int(seconds / 10 + 0.5))} s"
    minutes = max(1, int(seconds / 60 + 0.5))
    if minutes < 60:
        return f"about {minutes} min"
    tens = 10 * int(minutes / 10 + 0.5)
    return f"about {tens // 60} h {tens % 60:02d} min"


def clock(seconds: float) -> str:
    """Time since the start: `4:41`, `1:04:41`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: float) -> str:
    """`812 B`, `4.9 MB`, `1.2 GB`; powers of 1000."""
    if count < 1000:
        return f"{int(count)} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"


def age(seconds: float) -> str:
    """`40 s`, `12 min`, `5 h`, `12 d`: how long ago, in one unit."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{int(seconds / length)} {unit}"
    return f"{max(0, int(seconds))} s"


def read_age(text: str) -> float:
    """Seconds of `12h`, `30d`, `4w`; raises UsageError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([hdw])\s*", text)
    if not found:
        raise UsageError(f"--older-than {text}: not an age", "Write it as 12h, 30d or 4w.")
    return float(found[1]) * UNITS_S[found[2]]


def local_time(iso: str) -> str:
    """An ISO time in local time, to the minute; any other text unchanged."""
    try:
        return datetime.datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return iso
