"""How a cell's samples arrived, where they did not simply follow each other: figures and a plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.records import Arrivals, Trial
from harness.report.celltables import Pairs
from harness.report.data import TrialSamples
from harness.report.numbers import figures
from harness.report.page import Chart, Figure
from harness.report.plots import colour

Pair = tuple[Trial, TrialSamples]
_BINS: Final = 40
_WINDOW_S: Final = 10.0
_STRETCHES: Final = 30
_TITLES: Final = {
    "offline": "Throughput: all pictures there at once",
    "camera": "Pictures at a fixed rate, as from a camera",
    "server": "Requests at random, with a bound to keep",
    "sustained": "Kept up for minutes",
}
_KEPT: Final = {True: "✓ kept", False: "✕ not kept", None: "? not known: out of time"}


@dataclass(frozen=True)
class Pattern:
    """What the cell's page shows of its arrivals; `rates` is the server's table."""

    title: str
    facts: Pairs
    chart: Chart | None
    rates: tuple[tuple[str, ...], ...] = ()


def pattern(trials: Sequence[Trial], samples: Sequence[TrialSamples]) -> Pattern | None:
    """None for samples that simply followed each other, and for runs that do not say."""
    pairs = [(t, s) for t, s in zip(trials, samples, strict=True) if t.arrivals]
    kinds = {t.arrivals.pattern for t, _ in pairs if t.arrivals}
    if len(kinds) != 1 or (kind := kinds.pop()) not in _TITLES:
        return None
    drawn = [pair for pair in pairs if pair[1].latency_ms.size]
    every = [t.arrivals for t, _ in pairs if t.arrivals]
    return Pattern(
        title=_TITLES[kind],
        facts=_facts(kind, every),
        chart=_CHARTS[kind](drawn) if drawn else None,
        rates=tuple(_rates(pairs)) if kind == "server" else (),
    )


def _facts(kind: str, every: Sequence[Arrivals]) -> Pairs:
    """Medians over the trials, with the lowest and the highest."""
    rows = [("pictures a second", _over([a.samples_per_s for a in every], ""))]
    if kind == "camera":
        rows += [("asked for, a second", _over([a.rate_hz for a in every], ""))]
        rows += [("pictures dropped", f"{sum(a.dropped for a in every):,} in all trials")]
    if kind == "server":
        rows += [("p99 must stay under", _over([a.bound_ms for a in every], " ms"))]
        rows += [("highest rate that kept it", _best(every))]
    if kind in ("camera", "server"):
        rows += [
            ("median response", _over([a.response_p50_ms for a in every], " ms")),
            ("p90 response", _over([a.response_p90_ms for a in every], " ms")),
            ("p99 response", _over([a.response_p99_ms for a in every], " ms")),
        ]
    if kind == "sustained":
        rows += [("median at the start", _over([a.first_minute_ms for a in every], " ms"))]
        rows += [("median at the end", _over([a.last_minute_ms for a in every], " ms"))]
    return tuple((name, text) for name, text in rows if text)


def _over(values: Sequence[float | None], unit: str) -> str:
    there = sorted(v for v in values if v is not None)
    if not there:
        return ""
    low, middle, high = figures(there[0]), figures(float(np.median(there))), figures(there[-1])
    spread = f" (trials: {low} to {high})" if low != high else ""
    return f"{middle}{unit}{spread}"


def _best(every: Sequence[Arrivals]) -> str:
    """With `at least` where a higher rate may have kept it too, but had too little time."""
    none = sum(a.best_rate_hz is None for a in every)
    open_ = any(
        r.kept is None and r.rate_hz > (a.best_rate_hz or 0) for a in every for r in a.rates
    )
    if none == len(every):
        short = "not known: too few responses in the time of a rate; raise measure.server.cap_s"
        return short if open_ else "none that was tried"
    found = ("at least " if open_ else "") + _over([a.best_rate_hz for a in every], " a second")
    return f"{found}; none in {none} of {len(every)} trials" if none else found


def _rates(pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
    """Trial, rate, responses and whether the bound was kept."""
    return [
        (
            str(trial.index),
            figures(r.rate_hz),
            f"{r.n:,}",
            f"{figures(r.p50_ms)}",
            figures(r.p99_ms) if r.p99_ms is not None else "not known",
            figures(r.worst_ms),
            f"{r.late:,}",
            _KEPT[r.kept],
        )
        for trial, _ in pairs
        if trial.arrivals
        for r in sorted(trial.arrivals.rates, key=lambda rate: rate.rate_hz)
    ]


def _server(pairs: Sequence[Pair]) -> Chart:
    data: list[object] = [_rate_line(t.index, t.arrivals) for t, _ in pairs if t.arrivals]
    bound = next((t.arrivals.bound_ms for t, _ in pairs if t.arrivals), None)
    layout: dict[str, object] = {
        "xaxis": {"title": {"text": "requests a second"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "p99 of the responses, ms"}, "type": "log"},
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
        "A hollow mark did not keep the bound, or is not known to; where a rate was given up "
        "early, the mark is the slowest response, since there is no p99.",
    )
    label = f"p99 of the responses against the rate in {len(pairs)} trials; the table has all."
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
        "hovertemplate": "%{x:.3g} a second: %{y:.3g} ms<extra>%{fullData.name}</extra>",
    }


def _camera(pairs: Sequence[Pair]) -> Chart:
    """Latency at the camera's pace beside that of the warm-up, which runs without a pause."""
    paced = np.concatenate([s.latency_ms for _, s in pairs])
    tight = np.concatenate([s.warmup_ms[s.warmup_ms.size // 2 :] for _, s in pairs])
    every = np.concatenate([paced, tight])
    edges = np.linspace(every.min(), max(np.quantile(every, 0.995), every.min() * 1.01), _BINS + 1)
    named = [("at the camera's pace", paced, 1), ("without a pause (warm-up)", tight, 2)]
    data: list[object] = [_shares(n, v, edges, c) for n, v, c in named if v.size]
    layout = {
        "barmode": "overlay",
        "bargap": 0.02,
        "xaxis": {"title": {"text": "latency, ms"}},
        "yaxis": {"title": {"text": "share of its samples, %"}},
    }
    words = [f"{n}: median {figures(float(np.median(v)))} ms (n={v.size:,})"
             for n, v, _ in named if v.size]  # fmt: skip
    notes = (
        "; ".join(words) + ".",
        "The second half of the warm-up stands for the tight loop: it is no headline.",
    )
    label = f"Latencies of {paced.size:,} pictures at a fixed rate and of the tight loop."
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


def _sustained(pairs: Sequence[Pair]) -> Chart:
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


def _offline(pairs: Sequence[Pair]) -> Chart:
    """Inferences a second in even stretches of each trial, copies of inputs included."""
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
                "hovertemplate": "%{x:.1f} s: %{y:.3g} a second<extra>%{fullData.name}</extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "seconds since the trial's first sample"}},
        "yaxis": {"title": {"text": "inferences a second"}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    label = f"Inferences a second over the time of {len(pairs)} trials."
    return Chart("pattern", label, {"data": data, "layout": layout})


def _speed(samples: TrialSamples) -> tuple[list[float], list[float]]:
    parts = np.array_split(samples.start_s, min(_STRETCHES, max(1, samples.start_s.size // 2)))
    whole = [part for part in parts if part.size > 1 and part[-1] > part[0]]
    middles = [float(part[0] + part[-1]) / 2 for part in whole]
    return middles, [float((part.size - 1) / (part[-1] - part[0])) for part in whole]


_CHARTS: Final[dict[str, Callable[[Sequence[Pair]], Chart]]] = {
    "offline": _offline,
    "camera": _camera,
    "server": _server,
    "sustained": _sustained,
}
