"""The run's wall time: by step, by cell, and within trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from harness.report.data import Axes, Entry, TrialSamples
from harness.report.numbers import seconds
from harness.report.page import Maker, Page, Report, cell_href

_STEPS = ("plan", "images", "convert", "parity", "deploy", "measure", "score", "store", "report")
_PARTS = ("import", "load", "first run", "warm-up", "timed loop", "stages", "other")


@dataclass(frozen=True)
class Bar:
    """A duration and its percent of the longest."""

    name: str
    text: str
    percent: float


@dataclass(frozen=True)
class WallTimeRow:
    """One cell's seconds, one per column; empty if none."""

    label: str
    device: str
    href: str
    seconds: tuple[str, ...]
    total: str
    sort: float
    cached: str


@dataclass(frozen=True)
class Time:
    """What time.html shows."""

    total: str
    elsewhere: str
    steps: tuple[Bar, ...]
    names: tuple[str, ...]
    lines: tuple[WallTimeRow, ...]
    parts: tuple[str, ...]
    trials: tuple[WallTimeRow, ...]
    rest: str
    devices: bool


def pages(report: Report) -> Iterable[Page]:
    """The one page, time.html."""
    yield Page("time.html", "Wall time", "time.html", _time(report))


def _time(report: Report) -> Time:
    info = report.run.info
    steps = dict(info.wall_s) or _added(report.entries)
    timed = [e for e in report.entries if e.result and e.result.wall_s]
    names = tuple(s for s in _order(steps) if any(s in e.result.wall_s for e in timed if e.result))
    total = _elapsed(info.started_at, info.finished_at)
    spent = sum(steps.values())
    measured = [e for e in report.entries if e.result and e.result.trials]
    return Time(
        total=seconds(total) if total else "",
        elsewhere=seconds(total - spent) if total and total > spent else "",
        steps=_bars(steps),
        names=names,
        lines=tuple(_line(e, report.axes, names) for e in timed),
        parts=_PARTS,
        trials=tuple(_trials(e, report.axes, report.samples[e.cell.id]) for e in measured),
        rest=_rest(measured, report.samples),
        devices=len(report.axes.devices) > 1,
    )


def _added(entries: Sequence[Entry]) -> dict[str, float]:
    """Steps of all cells together, for a run that did not finish."""
    steps: dict[str, float] = {}
    for entry in entries:
        for step, value in entry.result.wall_s.items() if entry.result else ():
            steps[step] = steps.get(step, 0.0) + value
    return steps


def _order(steps: Mapping[str, float]) -> list[str]:
    known = [step for step in _STEPS if step in steps]
    return known + [step for step in steps if step not in _STEPS]


def _bars(steps: Mapping[str, float]) -> tuple[Bar, ...]:
    top = max(steps.values(), default=0.0) or 1.0
    return tuple(
        Bar(name, seconds(steps[name]), round(100 * steps[name] / top, 1)) for name in _order(steps)
    )


def _elapsed(started: str, finished: str | None) -> float | None:
    """Seconds between two ISO 8601 times; None when the run has not ended."""
    try:
        begin, end = datetime.fromisoformat(started), datetime.fromisoformat(finished or "")
        return (end - begin).total_seconds()
    except (ValueError, TypeError):
        return None


def _line(entry: Entry, axes: Axes, names: Sequence[str]) -> WallTimeRow:
    assert entry.result is not None
    wall = entry.result.wall_s
    kept = (("image", entry.result.image), ("model", entry.result.artifact))
    return WallTimeRow(
        label=axes.label(entry.cell),
        device=entry.cell.device,
        href=cell_href(entry.cell.id),
        seconds=tuple(seconds(wall[n]) if n in wall else "" for n in names),
        total=seconds(sum(wall.values())),
        sort=sum(wall.values()),
        cached=", ".join(name for name, made in kept if made and made.cached),
    )


def _trials(entry: Entry, axes: Axes, samples: Sequence[TrialSamples]) -> WallTimeRow:
    """Parts of all trials of a cell together."""
    assert entry.result is not None
    trials = entry.result.trials
    whole = sum(t.wall_s for t in trials)
    parts = _parts(entry, samples)
    return WallTimeRow(
        label=axes.label(entry.cell),
        device=entry.cell.device,
        href=cell_href(entry.cell.id),
        seconds=tuple(seconds(part) for part in (*parts, max(0.0, whole - sum(parts)))),
        total=seconds(whole),
        sort=whole,
        cached=str(len(trials)),
    )


def _parts(entry: Entry, samples: Sequence[TrialSamples]) -> tuple[float, ...]:
    trials = entry.result.trials if entry.result else ()
    own = [(t.import_ms, t.load_ms, t.first_ms) for t in trials]
    before = [sum(column) / 1e3 for column in zip(*own, strict=True)] or [0.0, 0.0, 0.0]
    loops = [(s.warmup_s, s.timed_s, s.stages_s) for s in samples]
    return (*before, *([sum(column) for column in zip(*loops, strict=True)] or [0.0, 0.0, 0.0]))


def _rest(measured: Sequence[Entry], samples: Mapping[str, Sequence[TrialSamples]]) -> str:
    """Overhead per trial: seconds in neither the runtime nor a loop."""
    trials = [t for e in measured if e.result for t in e.result.trials]
    if not trials or any(s.missing for e in measured for s in samples[e.cell.id]):
        return ""
    known = sum(sum(_parts(e, samples[e.cell.id])) for e in measured)
    return seconds(max(0.0, sum(t.wall_s for t in trials) - known) / len(trials))


MAKER = Maker("Time", "time.html", pages)
