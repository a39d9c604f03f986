"""Images at a fixed rate: the effect of the pauses between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.report.numbers import figures
from harness.report.page import Chart
from harness.report.patterns.section import Pair, Section
from harness.report.plots import colour

_BINS: Final = 40


def chart(pairs: Sequence[Pair]) -> Chart:
    """Latency at the camera's rate compared with the warm-up, which runs without pauses."""
    paced = np.concatenate([s.latency_ms for _, s in pairs])
    tight = np.concatenate([s.warmup_ms[s.warmup_ms.size // 2 :] for _, s in pairs])
    every = np.concatenate([paced, tight])
    edges = np.linspace(every.min(), max(np.quantile(every, 0.995), every.min() * 1.01), _BINS + 1)
    named = [("at the camera's rate", paced, 1), ("without pauses (warm-up)", tight, 2)]
    data: list[object] = [_shares(n, v, edges, c) for n, v, c in named if v.size]
    layout = {
        "barmode": "overlay",
        "bargap": 0.02,
        "xaxis": {"title": {"text": "latency, ms"}},
        "yaxis": {"title": {"text": "share of samples, %"}},
    }
    words = [f"{n}: median {figures(float(np.median(v)))} ms (n={v.size:,})"
             for n, v, _ in named if v.size]  # fmt: skip
    notes = (
        "; ".join(words) + ".",
        "The tight loop is the second half of the warm-up, for comparison only.",
    )
    label = f"Latencies of {paced.size:,} images at a fixed rate and of the tight loop."
    return Chart("pattern", label, {"data": data, "layout": layout}, notes)


def _shares(
    name: str, values: NDArray[np.float64], edges: NDArray[np.float64], ink: int
) -> dict[str, object]:
    counts, _ = np.histogram(values, edges)
    return {
        "type": "bar",
        "name": name,
        "x": np.round((edges[:-1] + edges[1:]) / 2, 5).tolist(),
        "y": np.round(100 * counts / values.size, 2).tolist(),
        "opacity": 0.65,
        "marker": {"color": colour(ink), "pattern": {"shape": "" if ink == 1 else "/", "size": 6}},
        "hovertemplate": "%{x:.3g} ms: %{y:.1f} %<extra>%{fullData.name}</extra>",
    }


SECTION = Section(chart)
