"""Sustained load: the latency while the device gets warm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from harness.report.data import TrialSamples
from harness.report.page import Chart, Figure
from harness.report.patterns.section import Pair, Section
from harness.report.plots import colour

_WINDOW_S: Final = 10.0


def chart(pairs: Sequence[Pair]) -> Chart:
    """Median of every 10 s, a line per trial."""
    data: list[object] = [curve(f"trial {t.index}", s, colour(t.index + 1)) for t, s in pairs]
    layout = {
        "xaxis": {"title": {"text": "minutes since the trial's first sample"}},
        "yaxis": {"title": {"text": "median of 10 s, ms"}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    figure: Figure = {"data": data, "layout": layout}
    return Chart("pattern", f"Median of every 10 s in {len(pairs)} trials.", figure)


def curve(name: str, samples: TrialSamples, ink: str) -> dict[str, object]:
    """Median latency of every 10 s over the minutes, as a line."""
    minutes, medians = medians_of(samples)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [round(m, 3) for m in minutes],
        "y": [round(m, 4) for m in medians],
        "line": {"color": ink, "width": 2},
        "marker": {"size": 4, "color": ink},
        "hovertemplate": "%{x:.1f} min: %{y:.3g} ms<extra>%{fullData.name}</extra>",
    }


def medians_of(samples: TrialSamples) -> tuple[list[float], list[float]]:
    """Middle of each 10 s in minutes, and the median of what began in it; empty ones left out."""
    if not samples.start_s.size:
        return [], []
    window = (samples.start_s // _WINDOW_S).astype(np.intp)
    edges = np.flatnonzero(np.diff(window)) + 1
    parts = np.split(samples.latency_ms, edges)
    firsts = window[np.r_[0, edges]]
    middles = [float((first + 0.5) * _WINDOW_S / 60) for first in firsts]
    return middles, [float(np.median(part)) for part in parts]


SECTION = Section(chart)
