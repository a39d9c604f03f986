"""Latency against accuracy, with the Pareto-optimal cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.metrics import Value
from harness.report.claims import metric
from harness.report.data import Axes, Entry
from harness.report.marks import BADGES, Badge
from harness.report.numbers import bounds, figures, megabytes
from harness.report.page import Chart, Maker, Page, Report, cell_href
from harness.report.paretochart import accuracy, frontier, median_ms, pareto_chart


@dataclass(frozen=True)
class ParetoRow:
    """One drawn cell in the table under the plot."""

    label: str
    href: str
    badge: Badge
    median: str
    bounds: str
    n: str
    score: str
    size: str
    frontier: bool


@dataclass(frozen=True)
class Plot:
    """One device and model: its chart, its table, and the cells that could not be drawn."""

    title: str
    chart: Chart | None
    lines: tuple[ParetoRow, ...]
    left_out: tuple[tuple[str, str, Badge, str], ...]
    why: str = ""
    metric: str = ""


@dataclass(frozen=True)
class Pareto:
    """What pareto.html shows."""

    metrics: tuple[str, ...]
    plots: tuple[Plot, ...]


def pages(report: Report) -> Iterable[Page]:
    """The one page, pareto.html."""
    plots = tuple(_plots(report))
    charts = tuple(plot.chart for plot in plots if plot.chart)
    content = Pareto(tuple(dict.fromkeys(p.metric for p in plots if p.metric)), plots)
    yield Page("pareto.html", "Latency and accuracy", "pareto.html", content, charts)


def _plots(report: Report) -> Iterable[Plot]:
    axes = report.axes
    for number, ((device, model), group) in enumerate(report.groups.items()):
        title = device if len(axes.models) == 1 else f"{model} on {device}"
        value = metric(report.of_model(model))
        yield _plot(group, axes, value, title, f"pareto-{number}")


def _plot(group: Sequence[Entry], axes: Axes, value: Value | None, title: str, name: str) -> Plot:
    drawn = [e for e in group if value and e.summary and e.score(value.name) is not None]
    drawn = sorted((e for e in drawn if not e.emulated), key=median_ms)
    left = tuple(_left_out(e, axes) for e in group if e not in drawn)
    if any(e.emulated for e in group):
        return Plot(title, None, (), left, "Emulated: not representative of hardware.")
    if value is None or not drawn:
        return Plot(title, None, (), left, "No cell has both a latency and an accuracy.")
    front = frontier(drawn, value)
    lines = tuple(_line(e, axes, value, e in front) for e in drawn)
    chart = pareto_chart(drawn, front, axes, value, name)
    return Plot(title, chart, lines, left, metric=value.title)


def _left_out(entry: Entry, axes: Axes) -> tuple[str, str, Badge, str]:
    why = entry.reasons[0] if entry.reasons else "not scored"
    why = "emulated" if entry.emulated and entry.summary else why
    return axes.label(entry.cell), cell_href(entry.cell.id), BADGES[entry.state], why


def _line(entry: Entry, axes: Axes, value: Value, front: bool) -> ParetoRow:
    assert entry.summary is not None
    p50, size = entry.summary.p50, entry.size_bytes
    return ParetoRow(
        label=axes.label(entry.cell),
        href=cell_href(entry.cell.id),
        badge=BADGES[entry.state],
        median=figures(p50.value),
        bounds=bounds(p50),
        n=f"{entry.summary.n:,}",
        score=value.text(accuracy(entry, value)),
        size=megabytes(size) if size else "",
        frontier=front,
    )


MAKER = Maker("Latency and accuracy", "pareto.html", pages)
