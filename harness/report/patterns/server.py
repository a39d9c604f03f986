"""Requests at random: the rates that were tried, and which of them met the bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from harness.records import Arrivals
from harness.report.celltables import Pairs, Table
from harness.report.numbers import figures
from harness.report.page import Chart
from harness.report.patterns.section import Pair, Section, over_trials
from harness.report.plots import colour

_MET: Final = {True: "✓ met", False: "✕ missed", None: "? unknown: timed out"}


def facts(every: Sequence[Arrivals]) -> Pairs:
    """The highest rate that met the bound."""
    return (("highest rate within the bound", _best(every)),)


def _best(every: Sequence[Arrivals]) -> str:
    """With `at least` if a higher rate timed out and may have met it, too."""
    none = sum(a.best_rate_hz is None for a in every)
    open_ = any(
        r.kept is None and r.rate_hz > (a.best_rate_hz or 0) for a in every for r in a.rates
    )
    if none == len(every):
        short = "unknown: too few responses per rate; increase measure.server.cap_s"
        return short if open_ else "none of those tried"
    best = over_trials([a.best_rate_hz for a in every], "requests/s")
    found = f"at least {best}" if open_ else best
    return f"{found}; none in {none} of {len(every)} trials" if none else found


def table(pairs: Sequence[Pair]) -> Table:
    """Every rate of every trial, and whether it met the bound."""
    heads = ("Trial", "Requests/s", "n", "Median", "p99", "Slowest", "Late", "Bound")
    caption = "Rates tried; response times in ms, including the queue"
    sort = ("number", "number", "", "", "", "", "", "text")
    return Table(caption, heads, tuple(_rates(pairs)), sort)


def _rates(pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
    """Trial, rate, responses and whether the bound was met."""
    return [
        (
            str(trial.index),
            figures(r.rate_hz),
            f"{r.n:,}",
            f"{figures(r.p50_ms)}",
            figures(r.p99_ms) if r.p99_ms is not None else "unknown",
            figures(r.worst_ms),
            f"{r.late:,}",
            _MET[r.kept],
        )
        for trial, _ in pairs
        if trial.arrivals
        for r in sorted(trial.arrivals.rates, key=lambda rate: rate.rate_hz)
    ]


def chart(pairs: Sequence[Pair]) -> Chart:
    """p99 response time against the rate, a line per trial, with the bound."""
    data: list[object] = [_rate_line(t.index, t.arrivals) for t, _ in pairs if t.arrivals]
    bound = next((t.arrivals.bound_ms for t, _ in pairs if t.arrivals), None)
    layout: dict[str, object] = {
        "xaxis": {"title": {"text": "requests/s"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "p99 response time, ms"}, "type": "log"},
        "hovermode": "closest",
    }
    if bound:
        line = {"color": "var(--bad)", "width": 2, "dash": "dash"}
        across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": bound, "y1": bound}
        text = {"text": f"bound {figures(bound)} ms", "showarrow": False, "xref": "paper", "x": 1,
                "xanchor": "right", "y": float(np.log10(bound)), "yanchor": "bottom",
                "font": {"color": "var(--bad)"}}  # fmt: skip
        layout |= {"shapes": [{**across, "line": line}], "annotations": [text]}
    notes = (
        "Hollow marks missed the bound or timed out; if a rate ended early, the mark is its "
        "slowest response, since there is no p99.",
    )
    label = f"p99 response time against the rate in {len(pairs)} trials; the table has all values."
    return Chart("pattern", label, {"data": data, "layout": layout}, notes)


def _rate_line(index: int, arrivals: Arrivals) -> dict[str, object]:
    rates = sorted(arrivals.rates, key=lambda rate: rate.rate_hz)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"trial {index}",
        "x": [round(r.rate_hz, 3) for r in rates],
        "y": [round(r.worst_ms if r.p99_ms is None else r.p99_ms, 3) for r in rates],
        "line": {"color": colour(index + 1), "width": 1.5},
        "marker": {
            "size": 9,
            "color": colour(index + 1),
            "symbol": ["circle" if r.kept else "circle-open" for r in rates],
        },
        "hovertemplate": "%{x:.3g}/s: %{y:.3g} ms<extra>%{fullData.name}</extra>",
    }


SECTION = Section(chart, facts, table)
