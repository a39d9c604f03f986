"""The front page: a summary, then the table of formats, precisions and devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.claims import headline
from harness.report.data import Axes, Entry
from harness.report.marks import BADGES, Badge, heat
from harness.report.matrixrows import Row, columns, numbered, row_names, rows_of
from harness.report.numbers import figures
from harness.report.page import Maker, Page, Report, device_href


@dataclass(frozen=True)
class DeviceColumn:
    """A column, and the scale that colours it."""

    name: str
    href: str
    emulated: bool
    scale: str


@dataclass(frozen=True)
class MatrixTable:
    """What matrix.html shows."""

    headlines: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    devices: tuple[DeviceColumn, ...]
    figures: tuple[str, ...]
    rows: tuple[Row, ...]
    filters: tuple[tuple[str, str, tuple[str, ...]], ...]
    counts: tuple[tuple[Badge, int], ...]
    notes: tuple[str, ...]
    gates: tuple[str, ...]
    broken_gates: tuple[str, ...]
    compute: bool
    #: number, text and how many cells have it, for a table whose boxes only have the number
    reasons: tuple[tuple[int, str, int], ...]


def pages(report: Report) -> Iterable[Page]:
    """The one page, index.html."""
    yield Page("index.html", "Matrix", "matrix.html", _matrix(report))


def _matrix(report: Report) -> MatrixTable:
    info, axes = report.run.info, report.axes
    rows = rows_of(report)
    return MatrixTable(
        headlines=_headlines(report),
        names=row_names(axes),
        devices=tuple(_device(report, name) for name in columns(report)),
        figures=tuple(figure.title for figure in rows[0].figures) if rows else (),
        rows=rows,
        filters=_filters(axes),
        counts=_counts(report.entries),
        notes=tuple(dict.fromkeys((*info.notes, *report.run.plan.notes))),
        gates=tuple(f"{name} {value:g}" for name, value in info.gates.items()),
        broken_gates=info.broken_gates,
        compute=any(row.compute for row in rows),
        reasons=_reasons(report, rows),
    )


def _headlines(report: Report) -> tuple[tuple[str, ...], ...]:
    """A paragraph per device and model; shared sentences appear once, at the end."""
    told = [
        headline(group, report.of_model(model), report.axes, report.run.info)
        for (_, model), group in report.groups.items()
    ]
    real = [sentences for sentences in told if len(sentences) > 1]
    alike = [s for s in real[0] if all(s in other for other in real)] if len(real) > 1 else []
    own = [tuple(s for s in sentences if s not in alike) for sentences in told]
    return (*own, tuple(alike)) if alike else tuple(own)


def _reasons(report: Report, rows: Sequence[Row]) -> tuple[tuple[int, str, int], ...]:
    used = Counter(ref for row in rows for box in row.boxes for ref in box.refs)
    return tuple((n, text, used[n]) for text, n in numbered(report).items())


def _filters(axes: Axes) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    groups = (
        ("format", "Format", axes.formats),
        ("precision", "Precision", axes.precisions),
        ("device", "Device", axes.devices),
    )
    return tuple(group for group in groups if len(group[2]) > 1)


def _counts(entries: Sequence[Entry]) -> tuple[tuple[Badge, int], ...]:
    totals = {state: sum(e.state == state for e in entries) for state in BADGES}
    return tuple((BADGES[state], total) for state, total in totals.items() if total)


def _device(report: Report, name: str) -> DeviceColumn:
    entries = report.of_device(name)
    scale = heat(entries)
    words = f"{figures(scale.low_ms)} to {figures(scale.high_ms)} ms" if scale else ""
    return DeviceColumn(name, device_href(name), any(e.emulated for e in entries), words)


MAKER = Maker("Matrix", "index.html", pages)
