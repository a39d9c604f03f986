"""Best entries, and badges for states: always a word and a sign, never only a colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.report.claims import fastest
from harness.report.data import Entry, State

HEAT_STEPS: Final = 7
#: the scale never spans less, so that differences without a meaning have nearly one colour
LEAST_SPAN: Final = 1.5


@dataclass(frozen=True)
class Badge:
    """A state as a sign, a word and a style class."""

    sign: str
    word: str
    style: str


BADGES: Final[dict[State, Badge]] = {
    "valid": Badge("✓", "valid", "valid"),
    "suspect": Badge("△", "suspect", "suspect"),
    "invalid": Badge("✕", "invalid", "invalid"),
    "failed": Badge("✕", "failed", "failed"),
    "skipped": Badge("–", "skipped", "skipped"),
    "missing": Badge("…", "no result", "missing"),
}


@dataclass(frozen=True)
class Marks:
    """The best of one device and model: ids of cells."""

    fastest: frozenset[str]
    tied: frozenset[str]

    def mark(self, cell_id: str) -> str:
        """`best`, `tied` (statistically tied with the best) or nothing."""
        if cell_id in self.tied or (cell_id in self.fastest and self.tied):
            return "tied"
        return "best" if cell_id in self.fastest else ""


def marks(entries: Sequence[Entry]) -> Marks:
    """Over the valid cells of one device and model."""
    quick = fastest(entries)
    best = frozenset([quick.best.cell.id]) if quick.best else frozenset()
    return Marks(best, frozenset(e.cell.id for e in quick.tied))


@dataclass(frozen=True)
class Heat:
    """Seven steps, even in the logarithm, from a device's lowest median to at least its highest."""

    low_ms: float
    high_ms: float

    def step(self, value_ms: float) -> int:
        """0 for the fastest, 6 for the slowest."""
        span = math.log(self.high_ms / self.low_ms) if self.low_ms > 0 else 0.0
        if span <= 0:
            return 0
        share = math.log(value_ms / self.low_ms) / span
        return min(HEAT_STEPS - 1, max(0, int(share * HEAT_STEPS)))


def heat(entries: Sequence[Entry]) -> Heat | None:
    """Scale of one device; an emulated device has none."""
    values = [e.summary.p50.value for e in entries if e.summary and not e.emulated]
    return Heat(min(values), max(*values, LEAST_SPAN * min(values))) if values else None
