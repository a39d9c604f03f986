"""All images available at once: throughput over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from harness.report.data import TrialSamples
from harness.report.page import Chart
from harness.report.patterns.section import Pair, Section
from harness.report.plots import colour

_STRETCHES: Final = 30


def chart(pairs: Sequence[Pair]) -> Chart:
    """Inferences/s in even intervals of each trial, including input copies."""
    data: list[object] = []
    for trial, samples in pairs:
        seconds, speed = _speed(samples)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"trial {trial.index}",
                "x": [round(s, 3) for s in seconds],
                "y": [round(v, 3) for v in speed],
                "line": {"color": colour(trial.index + 1), "width": 1.5},
                "marker": {"size": 4, "color": colour(trial.index + 1)},
                "hovertemplate": "%{x:.1f} s: %{y:.3g}/s<extra>%{fullData.name}</extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "seconds since the trial's first sample"}},
        "yaxis": {"title": {"text": "inferences/s"}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    label = f"Inferences/s over time in {len(pairs)} trials."
    return Chart("pattern", label, {"data": data, "layout": layout})


def _speed(samples: TrialSamples) -> tuple[list[float], list[float]]:
    parts = np.array_split(samples.start_s, min(_STRETCHES, max(1, samples.start_s.size // 2)))
    whole = [part for part in parts if part.size > 1 and part[-1] > part[0]]
    middles = [float(part[0] + part[-1]) / 2 for part in whole]
    return middles, [float((part.size - 1) / (part[-1] - part[0])) for part in whole]


SECTION = Section(chart)
