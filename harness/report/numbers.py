"""Formats numbers: one unit, three significant figures, never without their sample size."""

from __future__ import annotations

import math
from typing import Final

from harness.records import Interval

#: samples that a percentile needs before it is printed (99 % confidence)
PERCENTILE_NEEDS: Final[tuple[tuple[str, int], ...]] = (
    ("p90", 64),
    ("p95", 130),
    ("p99", 662),
    ("p99.9", 6640),
)


def figures(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant figures without an exponent: 17.6, 0.0123, 1,230."""
    if not math.isfinite(value):
        return "unknown"
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - power)
    power = math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, digits - 1 - power)}f}"


def bounds(interval: Interval) -> str:
    """`[17.4, 17.9]`."""
    return f"[{figures(interval.low)}, {figures(interval.high)}]"


def timing_bounds(interval: Interval) -> str:
    """`17.6 ms [17.4, 17.9]`."""
    return f"{figures(interval.value)} ms {bounds(interval)}"


def timing(interval: Interval, n: int) -> str:
    """`17.6 ms [17.4, 17.9] n=1,536`."""
    return f"{timing_bounds(interval)} n={n:,}"


def megabytes(size_bytes: int) -> str:
    """Decimal megabytes: `6.23 MB`."""
    return f"{figures(size_bytes / 1e6)} MB"


def seconds(value: float) -> str:
    """`0.31 s`, `12.3 s`, `3 min 20 s`, `2 h 5 min`."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def tiny(value: float) -> str:
    """Differences of any magnitude: `1.2e-06`, `0.0123`, `3.4`."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.1e}" if value and abs(value) < 1e-3 else figures(value)


def shorten(text: str, limit: int = 140) -> str:
    """The first line of `text`, cut at a word; the cell's page has the full text."""
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    if len(line) <= limit:
        return line
    return line[:limit].rsplit(" ", 1)[0].rstrip(",;:. ") + " …"


def percentile(value_ms: float | None, n: int, needs: int) -> str:
    """The percentile, or the number of samples it would need."""
    if n < needs:
        return f"needs {needs:,} samples (n={n:,})"
    return f"{figures(value_ms)} ms" if value_ms is not None else "not computed"
