"""The plot of latency against accuracy: colour is precision, shape is format, area is size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.metrics import Value
from harness.report.data import Axes, Entry
from harness.report.numbers import bounds, figures, megabytes
from harness.report.page import Chart
from harness.report.plots import SYMBOLS, plain, precision_colour

_SMALLEST_PX, _LARGEST_PX = 9, 20


def frontier(entries: Sequence[Entry], value: Value) -> list[Entry]:
    """Pareto-optimal valid cells, fastest first: see `_beats`."""
    valid = sorted((e for e in entries if e.state == "valid"), key=median_ms)
    return [entry for entry in valid if not any(_beats(other, entry, value) for other in valid)]


def _beats(other: Entry, entry: Entry, value: Value) -> bool:
    """Faster, its whole interval below, and as accurate to the digits shown."""
    assert other.summary is not None
    assert entry.summary is not None
    if other.summary.p50.high >= entry.summary.p50.low:
        return False
    theirs, own = (round(accuracy(e, value), value.digits) for e in (other, entry))
    return value.worse_by(theirs, own) <= 0


def pareto_chart(
    drawn: Sequence[Entry], front: Sequence[Entry], axes: Axes, value: Value, name: str
) -> Chart:
    """Points with intervals, the line of Pareto-optimal cells, and a legend."""
    sizes = [e.size_bytes or 0 for e in drawn]
    traces: list[object] = [_frontier_line(front, value)] if len(front) > 1 else []
    traces += [_point(e, axes, value, max(sizes)) for e in drawn] + list(_legend(drawn, axes))
    log = median_ms(drawn[-1]) > 10 * median_ms(drawn[0])
    height = {"range": _y_range(drawn, value), "tickformat": f".{value.digits}f"}
    layout = {
        "xaxis": {"title": {"text": _x_title(log)}, **x_range(drawn, log)},
        "yaxis": {"title": {"text": value.label}, **height},
        "hovermode": "closest",
    }
    label = f"{len(drawn)} cells by median latency and accuracy; the table below has every value."
    return Chart(name, label, {"data": traces, "layout": layout}, _notes(drawn), "tall")


def _x_title(log: bool) -> str:
    return "median latency, ms (logarithmic)" if log else "median latency, ms"


def x_range(drawn: Sequence[Entry], log: bool) -> dict[str, object]:
    seen = [end for e in drawn if e.summary for end in (e.summary.p50.low, e.summary.p50.high)]
    low, high = min(seen), max(seen)
    if log:
        low = min(end for end in seen if end > 0)  # results of older versions may be wider
        ends = [math.log10(low) - 0.1, math.log10(high) + 0.1]
        return {"type": "log", "range": ends, "tickvals": _ticks(10 ** ends[0], 10 ** ends[1])}
    pad = (high - low) * 0.08 or high * 0.1
    return {"range": [max(0.0, low - pad), high + pad]}


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20 …: on its own, Plotly writes 20 as a small 2."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [value for value in values if low <= value <= high]


def _y_range(drawn: Sequence[Entry], value: Value) -> list[float]:
    """At least 20 units of the last digit, so that meaningless differences look small."""
    values = [accuracy(e, value) for e in drawn]
    low, high = min(values), max(values)
    least = 20 * 10**-value.digits
    pad = max(least - (high - low), (high - low) * 0.3, least / 2) / 2
    return [low - pad, high + pad]


def _notes(drawn: Sequence[Entry]) -> tuple[str, ...]:
    sizes = [e.size_bytes for e in drawn if e.size_bytes]
    notes = ["Bars are 95 % intervals of the median; cells whose bars overlap are not ranked."]
    if sizes:
        notes.append(
            f"The area of a mark is proportional to the file size: {megabytes(min(sizes))} to "
            f"{megabytes(max(sizes))}."
        )
    if any(e.state == "suspect" for e in drawn):
        notes.append("Hollow marks are suspect: never Pareto-optimal.")
    return tuple(notes)


def _frontier_line(front: Sequence[Entry], value: Value) -> dict[str, object]:
    """Up with each cell of `front` that is more accurate than all faster ones."""
    best: list[float] = []
    for entry in front:
        own = accuracy(entry, value)
        best.append(own if not best or value.worse_by(own, best[-1]) < 0 else best[-1])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto-optimal",
        "x": [median_ms(e) for e in front],
        "y": best,
        "line": {"color": "var(--muted)", "width": 1.5, "dash": "dot", "shape": "hv"},
        "hoverinfo": "skip",
    }


def _point(entry: Entry, axes: Axes, value: Value, largest: int) -> dict[str, object]:
    assert entry.summary is not None
    p50 = entry.summary.p50
    colour = precision_colour(entry.cell.precision)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain(axes.label(entry.cell)),
        "x": [p50.value],
        "y": [accuracy(entry, value)],
        "error_x": _error(p50.high - p50.value, p50.value - p50.low, colour),
        "marker": _marker(entry, axes, _diameter(entry, largest), colour),
        "hovertemplate": _hover(entry, axes, value),
        "showlegend": False,
    }


def _error(above: float, below: float, colour: str) -> dict[str, object]:
    sides = {"array": [above], "arrayminus": [below], "symmetric": False}
    return {"type": "data", **sides, "color": colour, "thickness": 1.5, "width": 4}


def _diameter(entry: Entry, largest: int) -> float:
    share = (entry.size_bytes or 0) / largest if largest else 0.0
    return round(max(_SMALLEST_PX, _LARGEST_PX * math.sqrt(share)), 1)


def _marker(entry: Entry, axes: Axes, size: float, colour: str) -> dict[str, object]:
    symbol = SYMBOLS[axes.formats.index(entry.cell.format) % len(SYMBOLS)]
    hollow = "-open" if entry.state == "suspect" else ""
    line = {"color": colour, "width": 2} if hollow else {"color": "var(--surface)", "width": 1}
    return {"symbol": symbol + hollow, "size": size, "color": colour, "line": line, "opacity": 0.75}


def _hover(entry: Entry, axes: Axes, value: Value) -> str:
    assert entry.summary is not None
    p50, size = entry.summary.p50, entry.size_bytes
    words = [f"{figures(p50.value)} ms {bounds(p50)}", value.text(accuracy(entry, value))]
    words += [megabytes(size)] if size else []
    return "%{fullData.name}<br>" + "<br>".join(words) + f"<extra>{entry.state}</extra>"


def _legend(drawn: Sequence[Entry], axes: Axes) -> Iterable[dict[str, object]]:
    """Empty traces that explain colour and shape apart from each other."""
    formats = [f for f in axes.formats if any(e.cell.format == f for e in drawn)]
    for name in formats:
        yield _key(name, SYMBOLS[axes.formats.index(name) % len(SYMBOLS)], "var(--muted)")
    for precision in (p for p in axes.precisions if any(e.cell.precision == p for e in drawn)):
        yield _key(precision, "circle", precision_colour(precision))


def _key(name: str, symbol: str, colour: str) -> dict[str, object]:
    marker = {"symbol": symbol, "color": colour, "size": 10}
    return {"type": "scatter", "mode": "markers", "name": plain(name), "x": [None], "y": [None],
            "marker": marker, "hoverinfo": "skip"}  # fmt: skip


def median_ms(entry: Entry) -> float:
    """Median latency; only for an entry with numbers."""
    assert entry.summary is not None
    return entry.summary.p50.value


def accuracy(entry: Entry, value: Value) -> float:
    """Its `value`; only for a scored entry."""
    return entry.score(value.name) or 0.0
