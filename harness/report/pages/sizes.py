"""File sizes relative to the fp32 reference, and peak memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.claims import reference
from harness.report.data import Axes, Entry
from harness.report.marks import BADGES, Badge
from harness.report.numbers import figures
from harness.report.page import Maker, Page, Report, cell_href


@dataclass(frozen=True)
class SizeRow:
    """One cell; bars are in percent of the largest."""

    label: str
    device: str
    href: str
    badge: Badge
    size: str
    bytes: int | None
    size_percent: float
    ratio: str
    memory: str
    memory_bytes: int | None
    memory_percent: float
    best: bool


@dataclass(frozen=True)
class Sizes:
    """What sizes.html shows; `left_out` are cells without a file."""

    reference: str
    lines: tuple[SizeRow, ...]
    left_out: tuple[tuple[str, str, str, Badge, str], ...]
    devices: bool


def pages(report: Report) -> Iterable[Page]:
    """The one page, sizes.html."""
    yield Page("sizes.html", "Sizes", "sizes.html", _sizes(report))


def _sizes(report: Report) -> Sizes:
    axes = report.axes
    made = [e for e in report.entries if e.size_bytes]
    made.sort(key=lambda e: (axes.models.index(e.cell.model), e.size_bytes or 0))
    bases = {model: reference(report.entries, model) for model in axes.models}
    top = max((e.size_bytes or 0 for e in made), default=1)
    most = max((_memory(e) or 0 for e in made), default=0) or 1
    least = {m: _least([e for e in made if e.cell.model == m]) for m in axes.models}
    return Sizes(
        reference=next((axes.label(e.cell) for e in bases.values() if e and e.size_bytes), ""),
        lines=tuple(_line(e, axes, bases[e.cell.model], top, most, least) for e in made),
        left_out=tuple(_left_out(e, axes) for e in report.entries if not e.size_bytes),
        devices=len(axes.devices) > 1,
    )


def _least(entries: Sequence[Entry]) -> int:
    """Smallest file among cells with a result, to exclude broken conversions."""
    return min((e.size_bytes or 0 for e in entries if e.summary), default=-1)


def _memory(entry: Entry) -> int | None:
    return entry.summary.peak_rss_bytes if entry.summary else None


def _line(
    entry: Entry, axes: Axes, base: Entry | None, top: int, most: int, least: dict[str, int]
) -> SizeRow:
    size, memory = entry.size_bytes or 0, _memory(entry)
    whole = base.size_bytes if base else None
    return SizeRow(
        label=axes.label(entry.cell),
        device=entry.cell.device,
        href=cell_href(entry.cell.id),
        badge=BADGES[entry.state],
        size=figures(size / 1e6),
        bytes=size,
        size_percent=round(100 * size / top, 1),
        ratio=f"{size / whole:.2f}×" if whole else "",
        memory=figures(memory / 1e6) if memory else "",
        memory_bytes=memory,
        memory_percent=round(100 * (memory or 0) / most, 1),
        best=bool(entry.summary) and size == least[entry.cell.model],
    )


def _left_out(entry: Entry, axes: Axes) -> tuple[str, str, str, Badge, str]:
    why = entry.reasons[0] if entry.reasons else "no file recorded"
    label, device = axes.label(entry.cell), entry.cell.device
    return label, device, cell_href(entry.cell.id), BADGES[entry.state], why


MAKER = Maker("Sizes", "sizes.html", pages)
