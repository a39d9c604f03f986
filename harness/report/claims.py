"""The headline in words: fastest cells, smallest accurate files.

Two cells whose 95 % intervals overlap are never ranked; they are called statistically tied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness import metrics
from harness.metrics import Value
from harness.records import Interval, RunInfo
from harness.report.data import Axes, Entry
from harness.report.numbers import bounds, figures, megabytes

_NAMED: Final = 3


@dataclass(frozen=True)
class Fastest:
    """The lowest median among valid cells of one device and model, and cells that overlap it."""

    best: Entry | None
    tied: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Smallest:
    """The smallest files whose accuracy is within `drop` of the reference."""

    reference: Entry | None
    drop: float
    best: tuple[Entry, ...] = ()


def overlap(a: Interval, b: Interval) -> bool:
    """Whether two intervals share a value."""
    return a.low <= b.high and b.low <= a.high


def fastest(entries: Sequence[Entry], state: str = "valid") -> Fastest:
    """Over real (not emulated) cells in `state`."""
    timed = [e for e in entries if e.state == state and e.summary and not e.emulated]
    timed.sort(key=_median)
    if not timed:
        return Fastest(None)
    first = timed[0]
    return Fastest(first, tuple(e for e in timed[1:] if overlap(_interval(first), _interval(e))))


def metric(entries: Sequence[Entry]) -> Value | None:
    """The metric that the headline uses; None: no cell was scored."""
    present = {
        key for e in entries if e.result and e.result.scores for key in e.result.scores.values
    }
    ordered = (*metrics.headlines(), *metrics.values().values())
    return next((value for value in ordered if value.name in present), None)


def reference(entries: Sequence[Entry], model: str) -> Entry | None:
    """The fp32 PyTorch cell of a model that others are compared with, preferably a scored one."""
    found = [
        e
        for e in entries
        if (e.cell.model, e.cell.format, e.cell.precision) == (model, "pytorch", "fp32")
    ]
    scored = [e for e in found if e.result and e.result.scores]
    return next(iter(scored or found), None)


def smallest(entries: Sequence[Entry], every: Sequence[Entry], info: RunInfo) -> Smallest:
    """Among `entries` of one model; the reference may be of another device in `every`."""
    value, base = metric(every), reference(every, entries[0].cell.model)
    if value is None:
        return Smallest(None, 0.0)
    drop = info.gates.get(value.change_gate, value.tolerance)
    target = base.score(value.name) if base else None
    if target is None:
        return Smallest(None, drop)
    right = [e for e in entries if e.size_bytes and _within(e, value, target, drop)]
    least = min((e.size_bytes or 0 for e in right), default=0)
    return Smallest(base, drop, tuple(e for e in right if e.size_bytes == least))


def _within(entry: Entry, value: Value, target: float, drop: float) -> bool:
    seen = entry.score(value.name)
    return seen is not None and value.worse_by(seen, target) <= drop + 1e-9


def headline(
    entries: Sequence[Entry], every: Sequence[Entry], axes: Axes, info: RunInfo
) -> tuple[str, ...]:
    """The sentences for the entries of one device and one model."""
    cell = entries[0].cell
    place = f"On {cell.device}" + (f", {cell.model}" if len(axes.models) > 1 else "")
    if all(e.emulated for e in entries):
        return (f"{place}: emulated, not representative of hardware; times are not compared.",)
    told = [_speed(place, entries, axes), _suspect_ahead(entries, axes)]
    told.append(_size(smallest(entries, every, info), axes, metric(every)))
    return tuple(sentence for sentence in told if sentence)


def _speed(place: str, entries: Sequence[Entry], axes: Axes) -> str:
    quick = fastest(entries)
    if quick.best is None:
        return _no_valid(place, entries, axes)
    if not quick.tied:
        return f"{place}: the fastest valid cell is {_timed(quick.best, axes)}."
    rivals = _listed([_timed(e, axes) for e in quick.tied])
    return (
        f"{place}: the fastest valid cell is one of {_timed(quick.best, axes)} "
        f"and {rivals}: statistically tied."
    )


def _no_valid(place: str, entries: Sequence[Entry], axes: Axes) -> str:
    quick = fastest(entries, "suspect")
    if quick.best is None:
        return f"{place}: no results; see the reasons below."
    rivals = f", statistically tied with {_listed([_timed(e, axes) for e in quick.tied])}"
    return (
        f"{place}: no cell is valid; the fastest suspect one is {_timed(quick.best, axes)}"
        f"{rivals if quick.tied else ''}. See its flags."
    )


def _suspect_ahead(entries: Sequence[Entry], axes: Axes) -> str:
    """A suspect cell with a lower median than the fastest valid one."""
    best, doubtful = fastest(entries).best, fastest(entries, "suspect").best
    if best is None or doubtful is None or _median(doubtful) >= _median(best):
        return ""
    return f"{_timed(doubtful, axes)} is lower, but suspect."


def _size(small: Smallest, axes: Axes, value: Value | None) -> str:
    if small.reference is None or value is None:
        return "The smallest accurate file is unknown: the fp32 reference was not scored."
    base = f"{axes.label(small.reference.cell)}, {_score(small.reference, value)}"
    if not small.best:
        return f"No file is within {small.drop:g} {value.title} of the reference ({base})."
    names = _listed([axes.label(e.cell) for e in small.best])
    first = small.best[0]
    verb = "are" if len(small.best) > 1 else "is"
    size = megabytes(first.size_bytes or 0)
    return (
        f"Smallest within {small.drop:g} {value.title} of the reference ({base}) {verb} {names}: "
        f"{size}, {_score(first, value)}."
    )


def _score(entry: Entry, value: Value) -> str:
    seen = entry.score(value.name)
    return "not scored" if seen is None else value.text(seen)


def _timed(entry: Entry, axes: Axes) -> str:
    interval = _interval(entry)
    return f"{axes.label(entry.cell)} at {figures(interval.value)} ms {bounds(interval)}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _interval(entry: Entry) -> Interval:
    assert entry.summary is not None
    return entry.summary.p50


def _median(entry: Entry) -> float:
    return _interval(entry).value
