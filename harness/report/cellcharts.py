"""A cell's charts: latency distribution and latency over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.report import statechart
from harness.report.data import TrialSamples
from harness.report.page import Chart, Figure
from harness.report.plots import colour
from harness.report.readings import States
from harness.report.rows import PlotRow, stacked
from harness.report.statechart import TimedStates

#: points that a chart draws at most; more are thinned and the page says so
MOST_POINTS = 5000
_BINS = 60


def charts(
    trials: Sequence[TrialSamples], states: Sequence[States | None] = ()
) -> tuple[Chart, ...]:
    """Histogram and time line with the device's readings below; none without samples."""
    there = [t for t in trials if t.latency_ms.size]
    if not there:
        return ()
    return (histogram(there), timeline(there, statechart.placed(trials, states)))


def histogram(trials: Sequence[TrialSamples]) -> Chart:
    """Counts in shared bins; a long tail is cut off and counted in a note."""
    every = np.concatenate([t.latency_ms for t in trials])
    low, high = _window(every)
    edges = np.linspace(low, high, _BINS + 1)
    beyond = int((every > high).sum())
    note = (
        f"{beyond:,} of {every.size:,} samples are beyond the right edge, up to "
        f"{every.max():.3g} ms; they are included in all statistics."
    )
    notes = (note,) if beyond else ()
    layout = {
        "barmode": "stack",
        "bargap": 0.04,
        "xaxis": {"title": {"text": "latency, ms"}},
        "yaxis": {"title": {"text": "samples"}},
    }
    data: list[object] = [_counted(trial, edges) for trial in trials]
    label = f"Histogram of {every.size:,} samples of {len(trials)} trials."
    figure: Figure = {"data": data, "layout": layout}
    return Chart("histogram", label, figure, notes, title="Latency distribution")


def _window(every: NDArray[np.float64]) -> tuple[float, float]:
    """From the lowest sample to at most two and a half times the body's width over the median."""
    p5, p50, p95 = (float(q) for q in np.quantile(every, (0.05, 0.5, 0.95)))
    low, high = float(every.min()), min(float(every.max()), p50 + 2.5 * (p95 - p5))
    return low, high if high > low else low * 1.01 + 1e-6


def _counted(trial: TrialSamples, edges: NDArray[np.float64]) -> dict[str, object]:
    counts, _ = np.histogram(trial.latency_ms, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    return {
        "type": "bar",
        "name": f"trial {trial.index}",
        "x": np.round(middles, 5).tolist(),
        "y": counts.tolist(),
        "marker": {"color": colour(trial.index + 1)},
        "hovertemplate": "%{x:.3g} ms: %{y}<extra>%{fullData.name}</extra>",
    }


def timeline(trials: Sequence[TrialSamples], states: Sequence[TimedStates] = ()) -> Chart:
    """Every sample over the seconds since its trial's first; downsampled above MOST_POINTS."""
    total = sum(t.latency_ms.size for t in trials)
    share = MOST_POINTS // len(trials)
    kept = [thin(t.latency_ms, share if total > MOST_POINTS else total) for t in trials]
    drawn = sum(k.size for k in kept)
    notes = [f"{drawn:,} of {total:,} samples shown: the lowest and the highest of each interval."]
    lines = tuple(_line(trial, keep) for trial, keep in zip(trials, kept, strict=True))
    under = statechart.rows(states)
    label = f"{drawn:,} samples of {len(trials)} trials over time"
    label += f"; below: {', '.join(row.title for row in under)}." if under else "."
    return Chart(
        "timeline",
        label,
        stacked([PlotRow("latency, ms", lines, 2.2), *under], statechart.X_TITLE),
        (*(notes if drawn < total else ()), *statechart.notes(states)),
        "rows",
        "Latency over time" + (" and device state" if under else ""),
    )


def _line(trial: TrialSamples, keep: NDArray[np.intp]) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"trial {trial.index}",
        "legendgroup": f"trial {trial.index}",
        "x": np.round(trial.start_s[keep], 4).tolist(),
        "y": np.round(trial.latency_ms[keep], 4).tolist(),
        "marker": {"size": 3.5, "opacity": 0.7, "color": colour(trial.index + 1)},
        "hovertemplate": "%{x:.2f} s: %{y:.3g} ms<extra>%{fullData.name}</extra>",
    }


def thin(values: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Indices, in order, of at most `most` values: the extremes of even intervals."""
    if values.size <= most:
        return np.arange(values.size)
    starts = np.linspace(0, values.size, most // 2, endpoint=False).astype(np.intp)
    stretches = zip(starts, [*starts[1:], values.size], strict=True)
    picked = {int(a + f(values[a:b])) for a, b in stretches for f in (np.argmin, np.argmax)}
    return np.array(sorted(picked), np.intp)
