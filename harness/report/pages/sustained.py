"""Sustained load on one device: latency curves, and ranks at the start and at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.drift import Samples
from harness.analysis.flags import LEAST_TRIALS
from harness.analysis.summary import headline
from harness.records import Arrivals, Interval
from harness.report.data import Entry, TrialSamples
from harness.report.marks import BADGES, Badge
from harness.report.numbers import bounds, figures
from harness.report.page import Chart, Maker, Page, Report, cell_href
from harness.report.patterns.sustained import curve
from harness.report.plots import colour, plain
from harness.runner.patterns.sustained import MINUTE_S

_DASHES = ("solid", "dash", "dot")
_COLOURS = 7


@dataclass(frozen=True)
class SustainedRow:
    """One cell: medians and ranks of the first and the last minute."""

    label: str
    href: str
    badge: Badge
    first: str
    first_rank: str
    last: str
    last_rank: str
    change: str


@dataclass(frozen=True)
class SustainedGroup:
    """One device."""

    title: str
    emulated: bool
    chart: Chart | None
    lines: tuple[SustainedRow, ...]


@dataclass(frozen=True)
class Sustained:
    """What sustained.html shows."""

    groups: tuple[SustainedGroup, ...]


def pages(report: Report) -> Iterable[Page]:
    """The one page, sustained.html."""
    devices = (d for d in report.axes.devices if _kept_up(report.of_device(d)))
    groups = tuple(_group(report, number, name) for number, name in enumerate(devices))
    charts = tuple(group.chart for group in groups if group.chart)
    yield Page("sustained.html", "Sustained load", "sustained.html", Sustained(groups), charts)


def there(report: Report) -> bool:
    """Whether any cell of the run has the pattern sustained."""
    return bool(_kept_up(report.entries))


def _kept_up(entries: Sequence[Entry]) -> list[Entry]:
    return [e for e in entries if e.summary and _arrivals(e)]


def _arrivals(entry: Entry) -> list[Arrivals]:
    """Of the trials whose two ends are known."""
    every = [t.arrivals for t in entry.result.trials] if entry.result else []
    return [a for a in every if a and a.pattern == "sustained" and a.first_minute_ms
            and a.last_minute_ms]  # fmt: skip


def _ends(report: Report, entry: Entry) -> tuple[Interval, Interval]:
    """Medians of minute 1 and of the last one, ms, over the trials: see `spread`."""
    seen = [s for s in report.samples[entry.cell.id] if s.latency_ms.size]
    if not seen:  # the samples are damaged: what the trials said of themselves is left
        said = [(a.first_minute_ms or 0.0, a.last_minute_ms or 0.0) for a in _arrivals(entry)]
        medians = [float(np.median(values)) for values in zip(*said, strict=True)]
        return Interval(medians[0], 0.0, np.inf), Interval(medians[1], 0.0, np.inf)
    last_s = [float(s.start_s[-1]) for s in seen]
    firsts = [_within(s, 0.0, _edge_s(s)) for s in seen]
    lasts = [_within(s, end - _edge_s(s), end) for s, end in zip(seen, last_s, strict=True)]
    return over_trials(firsts), over_trials(lasts)


def _edge_s(samples: TrialSamples) -> float:
    """A minute, or a tenth of the time, as the runner counts it."""
    return min(MINUTE_S, samples.timed_s / 10)


def _within(samples: TrialSamples, low_s: float, high_s: float) -> Samples:
    """Latencies of what began then, ns."""
    inside = (samples.start_s >= low_s) & (samples.start_s <= high_s)
    return np.asarray(samples.latency_ms[inside] * 1e6, np.int64)


def over_trials(trials: Sequence[Samples]) -> Interval:
    """The headline of one minute of each trial, ms: see `stats.headline`."""
    ns = headline(trials)
    return Interval(ns.value / 1e6, ns.low / 1e6, ns.high / 1e6)


def _group(report: Report, number: int, device: str) -> SustainedGroup:
    cells = _kept_up(report.of_device(device))
    if any(e.emulated for e in cells):
        return SustainedGroup(device, True, None, ())
    ends = [_ends(report, e) for e in cells]
    firsts, lasts = [first for first, _ in ends], [last for _, last in ends]
    first_ranks, last_ranks = ranks(firsts), ranks(lasts)
    doubt = ["" if len(_arrivals(e)) >= LEAST_TRIALS else "?" for e in cells]
    lines = [
        SustainedRow(
            label=report.axes.label(e.cell),
            href=cell_href(e.cell.id),
            badge=BADGES[e.state],
            first=f"{figures(firsts[n].value)} {bounds(firsts[n])}",
            first_rank=first_ranks[n] + doubt[n],
            last=f"{figures(lasts[n].value)} {bounds(lasts[n])}",
            last_rank=last_ranks[n] + doubt[n],
            change=f"{100 * (lasts[n].value / firsts[n].value - 1):+.1f} %",
        )
        for n, e in enumerate(cells)
    ]
    order = sorted(range(len(cells)), key=lambda n: lasts[n].value)
    chart = _chart(report, [cells[n] for n in order], f"sustained-{number}")
    return SustainedGroup(device, False, chart, tuple(lines[n] for n in order))


def ranks(spreads: Sequence[Interval]) -> tuple[str, ...]:
    """`1`, or `1–2` if two cells overlap: then their order is unknown."""
    found = []
    for own in spreads:
        best = 1 + sum(other.high < own.low for other in spreads)
        worst = len(spreads) - sum(other.low > own.high for other in spreads)
        found.append(str(best) if best == worst else f"{best}–{worst}")
    return tuple(found)


def _chart(report: Report, cells: Sequence[Entry], name: str) -> Chart:
    data: list[object] = []
    for number, entry in enumerate(cells):
        trace = curve(plain(report.axes.label(entry.cell)), _together(report, entry), "")
        ink = {"color": colour(number + 1), "width": 2}
        dash = _DASHES[number // _COLOURS % len(_DASHES)]
        trace |= {"line": {**ink, "dash": dash}, "marker": {"size": 4, "color": ink["color"]}}
        data.append(trace)
    layout = {
        "xaxis": {"title": {"text": "minutes since the trial's first sample"}},
        "yaxis": {"title": {"text": "median of 10 s, ms"}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    label = (
        f"Median latency over time of {len(cells)} cells; the table has the first and last minute."
    )
    notes = ("Samples of all trials, by the time since their trial's first.",)
    return Chart(name, label, {"data": data, "layout": layout}, notes, "tall")


def _together(report: Report, entry: Entry) -> TrialSamples:
    """Samples of all trials in the order of time since their trial's first."""
    every = [s for s in report.samples[entry.cell.id] if s.latency_ms.size]
    if not every:
        return report.samples[entry.cell.id][0]
    start = np.concatenate([s.start_s for s in every])
    latency = np.concatenate([s.latency_ms for s in every])
    order = np.argsort(start, kind="stable")
    return replace(every[0], start_s=start[order], latency_ms=latency[order])


MAKER = Maker("Sustained", "sustained.html", pages, there)
