"""Time per image by stage: preprocessing, inference, postprocessing, and end to end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.records import Summary
from harness.report.data import Axes, Entry
from harness.report.marks import BADGES, Badge
from harness.report.numbers import figures
from harness.report.page import Chart, Maker, Page, Report, cell_href
from harness.report.plots import colour, plain

#: field of Summary, title, fill pattern
_STAGES = (
    ("pre_ms", "Preprocess", ""),
    ("infer_ms", "Inference", "/"),
    ("post_ms", "Postprocess", "x"),
)


@dataclass(frozen=True)
class StageRow:
    """One cell's stages; empty if a stage was not timed."""

    label: str
    href: str
    badge: Badge
    stages: tuple[str, ...]
    total: str
    share: str


@dataclass(frozen=True)
class StageGroup:
    """One device: a chart (not for an emulated one) and its table."""

    title: str
    emulated: bool
    chart: Chart | None
    lines: tuple[StageRow, ...]


@dataclass(frozen=True)
class Stages:
    """What stages.html shows."""

    names: tuple[str, ...]
    groups: tuple[StageGroup, ...]


def pages(report: Report) -> Iterable[Page]:
    """The one page, stages.html."""
    groups = tuple(_group(report, number, name) for number, name in enumerate(report.axes.devices))
    charts = tuple(group.chart for group in groups if group.chart)
    content = Stages(tuple(title for _, title, _ in _STAGES), groups)
    yield Page("stages.html", "Stages", "stages.html", content, charts)


def _group(report: Report, number: int, device: str) -> StageGroup:
    timed = [e for e in report.of_device(device) if e.summary and e.summary.infer_ms is not None]
    timed.sort(key=_end_to_end)
    emulated = any(e.emulated for e in timed)
    chart = _chart(timed, report.axes, number) if timed and not emulated else None
    lines = tuple(_line(e, e.summary, report.axes) for e in timed if e.summary)
    return StageGroup(device, emulated, chart, lines)


def _end_to_end(entry: Entry) -> float:
    return (entry.summary.e2e_ms or 0.0) if entry.summary else 0.0


def _line(entry: Entry, summary: Summary, axes: Axes) -> StageRow:
    values = [getattr(summary, name) for name, _, _ in _STAGES]
    total, infer = summary.e2e_ms, summary.infer_ms
    return StageRow(
        label=axes.label(entry.cell),
        href=cell_href(entry.cell.id),
        badge=BADGES[entry.state],
        stages=tuple("" if value is None else figures(value) for value in values),
        total="" if total is None else figures(total),
        share=f"{100 * infer / total:.0f} %" if total and infer is not None else "",
    )


def _chart(timed: Sequence[Entry], axes: Axes, number: int) -> Chart:
    names = [plain(axes.label(e.cell)) for e in timed]
    summaries = [e.summary for e in timed if e.summary]
    traces: list[object] = [
        _bar(names, [getattr(s, field) for s in summaries], title, place, pattern)
        for place, (field, title, pattern) in enumerate(_STAGES)
    ]
    traces.append(_marker(names, [s.e2e_ms for s in summaries]))
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "median, ms per image"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "type": "category", "title": {"text": ""}},
        "height": 150 + 34 * len(timed),
    }
    notes = (
        "Medians do not add up: a bar may not end at its end-to-end mark.",
        "Stages are timed in a separate loop that includes preprocessing.",
    )
    label = f"Stacked stages of {len(timed)} cells; the table below has every value."
    return Chart(f"stages-{number}", label, {"data": traces, "layout": layout}, notes, "rows")


def _bar(
    names: list[str], values: list[float | None], title: str, place: int, pattern: str
) -> dict[str, object]:
    fill = {
        "shape": pattern,
        "fillmode": "overlay",
        "fgcolor": "var(--surface)",
        "fgopacity": 0.35,
        "size": 7,
    }
    return {
        "type": "bar",
        "orientation": "h",
        "name": title,
        "y": names,
        "x": values,
        "marker": {"color": colour((6, 1, 2)[place]), "pattern": fill},
        "hovertemplate": "%{y}: %{x:.3g} ms<extra>%{fullData.name}</extra>",
    }


def _marker(names: list[str], values: list[float | None]) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "End to end",
        "y": names,
        "x": values,
        "marker": {"symbol": "diamond", "size": 10, "color": "var(--text)"},
        "hovertemplate": "%{y}: %{x:.3g} ms<extra>end to end</extra>",
    }


MAKER = Maker("Stages", "stages.html", pages)
