"""A page per cell: its result or the reason for none, with all details."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import BenchError, StepFailed
from harness.printable import printable
from harness.records import Cell, Parity, RunInfo
from harness.report import celltables as tables
from harness.report import costs, statechart
from harness.report.cellcharts import charts
from harness.report.celltables import Pairs, Table
from harness.report.claims import reference
from harness.report.costs import MemorySplit
from harness.report.data import Entry
from harness.report.marks import BADGES, Badge
from harness.report.numbers import timing
from harness.report.page import Chart, Maker, Page, Report, cell_href, device_href, made
from harness.report.panels import Drawn, PanelRow, draw
from harness.report.patterns import PatternShown, pattern
from harness.report.placement import LayersShown, PlacementShown, layers, placement
from harness.untrusted.text import read_end

_LOG_LINES, _LOG_BYTES = 200, 64_000


@dataclass(frozen=True)
class Log:
    """The end of a log file."""

    name: str
    text: str
    cut: bool


@dataclass(frozen=True)
class ParityShown:
    """The comparison with the reference."""

    ok: bool
    reasons: tuple[str, ...]
    outputs: Table
    boxes: Pairs


@dataclass(frozen=True)
class CellPage:
    """What cell.html shows; empty parts are left out."""

    id: str
    names: Pairs
    badge: Badge
    emulated: bool
    timing: str
    reasons: tuple[str, ...]
    hint: str
    command: str
    percentiles: Pairs
    costs: Pairs
    accuracy: Pairs
    missing: tuple[str, ...]
    tables: tuple[Table, ...]
    parity: ParityShown | None
    provenance: Pairs
    pictures: tuple[PanelRow, ...]
    logs: tuple[Log, ...]
    device: str
    device_href: str
    remarks: tuple[str, ...]
    #: the charts of the samples and of the device; the pattern has its own
    charts: tuple[Chart, ...]
    pattern: PatternShown | None
    memory: MemorySplit | None
    energy: Pairs
    threads: Pairs
    placement: PlacementShown | None
    layers: LayersShown | None


def pages(report: Report) -> Iterable[Page]:
    """One page per entry, even for those that never ran."""
    for entry in report.entries:
        path, title = cell_href(entry.cell.id), _title(report, entry)
        yield made(path, title, f"the page of {entry.cell.id}", partial(_made, report, entry))


def _title(report: Report, entry: Entry) -> str:
    return f"{report.axes.label(entry.cell)} on {entry.cell.device}"


def _made(report: Report, entry: Entry) -> Page:
    drawn = _drawn(report, entry)
    content = _page(report, entry, drawn)
    own = content.pattern.chart if content.pattern else None
    return Page(
        path=cell_href(entry.cell.id),
        title=_title(report, entry),
        template="cell.html",
        content=content,
        charts=(*content.charts, own) if own else content.charts,
        files=drawn.files,
    )


def _charts(report: Report, entry: Entry) -> tuple[Chart, ...]:
    """The samples' charts; of a cell without a number what its device did alone."""
    key = entry.cell.id
    samples, states = report.samples.get(key, ()), report.states.get(key, ())
    if entry.summary:
        return charts(samples, states)
    alone = statechart.chart(samples, states)
    return (alone,) if alone else ()


def _drawn(report: Report, entry: Entry) -> Drawn:
    if report.pictures is None or entry.result is None:
        return Drawn()
    base = reference(report.entries, entry.cell.model)
    try:
        return draw(report.pictures, entry.cell, base.cell if base else None)
    except BenchError as error:
        return Drawn(missing=f"Images cannot be shown: {error.message}")


def _page(report: Report, entry: Entry, drawn: Drawn) -> CellPage:
    summary, result, info = entry.summary, entry.result, report.run.info
    samples = report.samples.get(entry.cell.id, ())
    timed = result.trials if result and summary else ()
    real = bool(summary) and not entry.emulated
    return CellPage(
        id=entry.cell.id,
        names=_names(entry.cell),
        badge=BADGES[entry.state],
        emulated=entry.emulated,
        timing=timing(summary.p50, summary.n) if summary else "",
        reasons=entry.reasons,
        hint=result.failure.hint if result and result.failure else "",
        command=command(info, entry.cell),
        percentiles=tables.percentiles(summary) if summary else (),
        costs=tables.costs(summary) if summary else (),
        accuracy=tables.accuracy(result) if result and summary else (),
        missing=tuple(filter(None, (*(one.missing for one in samples), drawn.missing))),
        tables=_tables(report, entry),
        parity=_parity(result.parity) if result and result.parity else None,
        provenance=tables.provenance(result, info) if result else (),
        pictures=drawn.rows,
        logs=tuple(_logs(report.run.folder, entry.cell)),
        device=entry.cell.device,
        device_href=device_href(entry.cell.device),
        remarks=tables.remarks(result.trials) if result else (),
        charts=_charts(report, entry),
        pattern=pattern(timed, samples) if timed else None,
        memory=costs.memory(timed),
        energy=costs.energy(timed),
        threads=costs.threads(entry.cell.threads, timed),
        placement=placement(result.placement, real) if result else None,
        layers=layers(report.run.folder, entry.cell, real),
    )


def _names(cell: Cell) -> Pairs:
    return (
        ("model", cell.model),
        ("format", cell.format),
        ("precision", cell.precision),
        ("device", cell.device),
        ("threads", str(cell.threads)),
        ("batch", str(cell.batch)),
    )


def _tables(report: Report, entry: Entry) -> tuple[Table, ...]:
    """An invalid cell's trials are not shown: their medians would be read as its number."""
    if entry.result is None or not entry.result.trials or entry.summary is None:
        return ()
    made = entry.result.trials
    state = tables.device(made)
    shown = tables.trials(made, report.samples[entry.cell.id])
    return (shown, state) if state.rows else (shown,)


def _parity(parity: Parity) -> ParityShown:
    return ParityShown(
        parity.ok, parity.reasons, tables.parity_outputs(parity), tables.parity_boxes(parity)
    )


def command(info: RunInfo, cell: Cell) -> str:
    """The command that repeats this cell, quoted for a shell."""
    return shlex.join(["bench", "run", _scenario(info), "--only", cell.id])


def _scenario(info: RunInfo) -> str:
    """The scenario's file: named by the run, or in its command line, or where it lies by custom."""
    if info.scenario.endswith((".yaml", ".yml")):
        return info.scenario
    words = (word.strip("'\"") for word in info.command.split())
    named = (word for word in words if word.endswith((".yaml", ".yml")))
    return next(named, f"scenarios/{info.scenario}.yaml")


def _logs(folder: Path, cell: Cell) -> Iterable[Log]:
    """The ends of the cell's logs; a cell id that would leave the run's folder has none."""
    place = folder / "cells" / cell.id
    for path in (place / "log.txt", place / "convert.log", *sorted(place.glob("trial-*/log.txt"))):
        try:
            raw, size = read_end(path, _LOG_BYTES, folder)
        except StepFailed:
            continue
        if raw.strip():
            yield tail(path.relative_to(place).as_posix(), raw, size)


def tail(name: str, raw: bytes, size: int) -> Log:
    """The last lines of a log, of at most so many bytes, without terminal control codes."""
    text = printable(raw.decode("utf-8", "replace").replace("\r\n", "\n"))
    lines = text.splitlines()
    cut = size > len(raw) or len(lines) > _LOG_LINES
    return Log(name, "\n".join(lines[-_LOG_LINES:]), cut)


MAKER = Maker("Cell", "", pages)
