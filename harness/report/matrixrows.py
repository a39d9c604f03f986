"""The rows of the matrix: one format and precision each, with a box per device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness import metrics
from harness.metrics import Value
from harness.records import Cell
from harness.report.data import Axes, Entry
from harness.report.marks import BADGES, Badge, Heat, Marks, heat, marks
from harness.report.numbers import bounds, figures, shorten
from harness.report.page import Report, cell_href

#: of a hole, and of a number: its cell's page has them all
_HOLE_REASONS, _NUMBER_REASONS = 2, 1
#: with more devices, reasons are numbered and stand under the table
_ROOMY = 3
RowKey = tuple[str, str, str, int, int]


@dataclass(frozen=True)
class Box:
    """One device's entry in a row; without `value` it shows the reasons."""

    device: str
    href: str
    badge: Badge | None
    value: str = ""
    bounds: str = ""
    n: str = ""
    mark: str = ""
    heat: int | None = None
    sort: float | None = None
    reasons: tuple[str, ...] = ()
    more: int = 0
    emulated: bool = False
    #: numbers of its reasons in the list under the table
    refs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A value next to the timings: accuracy or size."""

    title: str
    text: str
    best: bool = False
    sort: float | None = None


@dataclass(frozen=True)
class Row:
    """One format and precision (and threads, batch and model where they differ)."""

    names: tuple[tuple[str, str], ...]
    label: str
    boxes: tuple[Box, ...]
    figures: tuple[Figure, ...]
    compute: str


def row_names(axes: Axes) -> tuple[str, ...]:
    """What names a row: format and precision, and what else differs within the run."""
    several = {"Model": axes.models, "Threads": axes.threads, "Batch": axes.batches}
    shown = {name for name, values in several.items() if len(values) > 1}
    names = ("Model", "Format", "Precision", "Threads", "Batch")
    return tuple(n for n in names if n in shown or n in ("Format", "Precision"))


@dataclass(frozen=True)
class Columns:
    """What all rows share: devices in column order, scales, and the best entries."""

    devices: tuple[str, ...]
    scales: dict[str, Heat | None]
    best: dict[tuple[str, str], Marks]
    values: tuple[Value, ...]
    leaders: dict[str, dict[str, float]]
    #: reason -> its number under the table; empty where reasons stand in the boxes
    numbers: dict[str, int]


def columns(report: Report) -> tuple[str, ...]:
    """The devices, emulated ones last."""
    emulated = {e.cell.device for e in report.entries if e.emulated}
    return tuple(sorted(report.axes.devices, key=lambda device: device in emulated))


def numbered(report: Report) -> dict[str, int]:
    """Every reason's number, in the order of the entries, if columns are too narrow for text."""
    if len(report.axes.devices) <= _ROOMY:
        return {}
    reasons = (shorten(reason, 300) for e in report.entries for reason in _shown(e))
    return {reason: n for n, reason in enumerate(dict.fromkeys(reasons), 1)}


def _shown(entry: Entry) -> tuple[str, ...]:
    return entry.reasons[: _NUMBER_REASONS if entry.summary else _HOLE_REASONS]


def rows_of(report: Report) -> tuple[Row, ...]:
    """Every row, in the scenario's order of models and formats."""
    axes = report.axes
    by_row: dict[RowKey, dict[str, Entry]] = {}
    for entry in report.entries:
        by_row.setdefault(_key(entry.cell), {})[entry.cell.device] = entry
    shared = Columns(
        devices=columns(report),
        scales={d: heat(report.of_device(d)) for d in axes.devices},
        best={key: marks(group) for key, group in report.groups.items()},
        values=_values(report.entries),
        leaders={model: _best_figures(report.of_model(model)) for model in axes.models},
        numbers=numbered(report),
    )
    ordered = sorted(by_row, key=lambda key: _order(key, axes))
    return tuple(_row(by_row[key], key, axes, shared) for key in ordered)


def _key(cell: Cell) -> RowKey:
    return (cell.model, cell.format, cell.precision, cell.threads, cell.batch)


def _order(key: RowKey, axes: Axes) -> tuple[int, ...]:
    model, form, precision, threads, batch = key
    places = (axes.models.index(model), axes.formats.index(form), axes.precisions.index(precision))
    return (*places, threads, batch)


def _row(entries: dict[str, Entry], key: RowKey, axes: Axes, shared: Columns) -> Row:
    values = dict(
        zip(("Model", "Format", "Precision", "Threads", "Batch"), map(str, key), strict=True)
    )
    names = tuple((name, values[name]) for name in row_names(axes))
    boxes = tuple(_box(entries.get(d), d, key[0], shared) for d in shared.devices)
    compute = next(
        (e.result.compute for e in entries.values() if e.result and e.result.compute), ""
    )
    label = " ".join(value for _, value in names)
    shown = _figures(entries, shared.values, shared.leaders[key[0]])
    return Row(names, label, boxes, shown, compute)


def _box(entry: Entry | None, device: str, model: str, shared: Columns) -> Box:
    if entry is None:
        return Box(device, "", None, reasons=("not in the plan",))
    shown = _shown(entry)
    hole = Box(
        device=device,
        href=cell_href(entry.cell.id),
        badge=BADGES[entry.state],
        reasons=() if shared.numbers else tuple(shorten(reason) for reason in shown),
        more=len(entry.reasons) - len(shown),
        emulated=entry.emulated,
        refs=tuple(shared.numbers[shorten(r, 300)] for r in shown) if shared.numbers else (),
    )
    if not entry.summary:
        return hole
    return _numbered(hole, entry, shared.scales[device], shared.best.get((device, model)))


def _numbered(hole: Box, entry: Entry, scale: Heat | None, best: Marks | None) -> Box:
    assert entry.summary is not None
    p50 = entry.summary.p50
    return replace(
        hole,
        value=figures(p50.value),
        bounds=bounds(p50),
        n=f"n={entry.summary.n:,}",
        mark=best.mark(entry.cell.id) if best else "",
        heat=None if entry.emulated or scale is None else scale.step(p50.value),
        sort=p50.value,
    )


def _values(entries: Sequence[Entry]) -> tuple[Value, ...]:
    return tuple(v for v in metrics.shown() if any(e.score(v.name) is not None for e in entries))


def _best_figures(entries: Sequence[Entry]) -> dict[str, float]:
    """The best of each value (to the digits shown) and the smallest file."""
    best: dict[str, float] = {}
    for value in metrics.shown():
        seen = [s for e in entries if (s := e.score(value.name)) is not None]
        scores = [round(s, value.digits) for s in seen]
        best |= _distinct(value.name, value.best(scores), scores)
    sizes = [float(e.size_bytes) for e in entries if e.summary and e.size_bytes]
    return best | _distinct("size_bytes", min(sizes, default=None), sizes)


def _distinct(name: str, best: float | None, values: list[float]) -> dict[str, float]:
    """A best value that more than half share is not marked."""
    if best is None or 2 * values.count(best) > max(2, len(values)):
        return {}
    return {name: best}


def _figures(
    entries: dict[str, Entry], values: tuple[Value, ...], leaders: dict[str, float]
) -> tuple[Figure, ...]:
    shown = [_accuracy(entries, value, leaders) for value in values]
    sizes = {d: float(e.size_bytes) for d, e in entries.items() if e.size_bytes}
    timed = any(e.summary for e in entries.values())
    first = min(sizes.values(), default=None)
    text = _joined({d: figures(size / 1e6) for d, size in sizes.items()}, sizes)
    shown.append(Figure("Size MB", text, timed and first == leaders.get("size_bytes"), first))
    return tuple(shown)


def _accuracy(entries: dict[str, Entry], value: Value, leaders: dict[str, float]) -> Figure:
    scores = {d: v for d, e in entries.items() if (v := e.score(value.name)) is not None}
    text = _joined({d: value.text(score) for d, score in scores.items()}, scores)
    top = value.best(scores.values())
    best = top is not None and round(top, value.digits) == leaders.get(value.name)
    return Figure(value.title, text, best, top)


def _joined(texts: dict[str, str], values: dict[str, float]) -> str:
    """One value; two with their devices; of more different ones the lowest and the highest."""
    different = {text: device for device, text in texts.items()}
    if len(different) <= 1:
        return next(iter(different), "")
    if len(different) == 2:
        return ", ".join(f"{text} ({device})" for text, device in different.items())
    ordered = sorted(values, key=lambda device: values[device])
    return f"{texts[ordered[0]]} to {texts[ordered[-1]]}"
