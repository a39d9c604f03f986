"""What a pattern's module here may add to the section of its name on a cell's page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.records import Arrivals, Trial
from harness.report.celltables import Pairs, Table
from harness.report.data import TrialSamples
from harness.report.numbers import figures
from harness.report.page import Chart

Pair = tuple[Trial, TrialSamples]


@dataclass(frozen=True)
class Section:
    """Parts in addition to the figures that the pattern's SPEC names."""

    #: of the trials whose samples are there
    chart: Callable[[Sequence[Pair]], Chart]
    facts: Callable[[Sequence[Arrivals]], Pairs] = lambda every: ()
    table: Callable[[Sequence[Pair]], Table | None] = lambda pairs: None


def over_trials(values: Sequence[float | None], unit: str = "") -> str:
    """The median over the trials, with the lowest and the highest; empty if unknown."""
    there = sorted(v for v in values if v is not None)
    if not there:
        return ""
    low, middle, high = figures(there[0]), figures(float(np.median(there))), figures(there[-1])
    spread = f" (trials: {low} to {high})" if low != high else ""
    return f"{middle}{' ' if unit else ''}{unit}{spread}"
