"""A device over a whole run: its readings during the trials, or before and after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from harness.records import DeviceState, Trial
from harness.report.data import Entry
from harness.report.page import Chart, Report
from harness.report.plots import colour, listed, plain
from harness.report.readings import SERIES, Series, States
from harness.report.rows import PlotRow, stacked
from harness.report.statechart import plain_values

#: points of one line at most, over all trials
_MOST: Final = 3000
_GAP_MIN: Final = 1.0


@dataclass(frozen=True)
class Seen:
    """One trial's readings at minutes since the device's first; `name` is the trial's."""

    name: str
    minutes: np.ndarray
    states: States


def chart(report: Report, entries: Sequence[Entry]) -> Chart | None:
    """Temperature, clock, load, battery and power over the run; None where nothing is known."""
    seen, restarts = _seen(report, entries)
    read = _read(seen, restarts) if seen else None
    return read or _around(entries)


def _seen(report: Report, entries: Sequence[Entry]) -> tuple[list[Seen], int]:
    """Every trial with readings, in the order they were made, and how often the device restarted.

    Seconds since boot order them; after a restart they begin again, a minute later here.
    """
    found = [
        (trial.before.taken_at, f"{report.axes.label(e.cell)}, trial {trial.index}", states)
        for e in entries
        if e.result
        for trial, states in zip(e.result.trials, report.states[e.cell.id], strict=True)
        if states
    ]
    found.sort(key=lambda one: (_moment(one[0]) or 0.0, one[2].at_s[0]))
    seen: list[Seen] = []
    shift, last, restarts = -found[0][2].at_s[0] if found else 0.0, 0.0, 0
    for _, name, states in found:
        if states.at_s[0] + shift < last - 1.0:
            shift, restarts = last + 60 * _GAP_MIN - states.at_s[0], restarts + 1
        seen.append(Seen(name, (states.at_s + shift) / 60, states))
        last = float(states.at_s[-1]) + shift
    return seen, restarts


def _read(seen: Sequence[Seen], restarts: int) -> Chart | None:
    rows = tuple(
        PlotRow(series.title, (_line(seen, series),), least=series.least)
        for series in SERIES
        if any(one.states.known(series.key) for one in seen)
    )
    notes = [f"Readings during {len(seen)} trials; none between them."]
    if restarts:
        notes.append("The device restarted during the run; the length of that gap is arbitrary.")
    return _drawn(rows, "minutes since the first reading", tuple(notes)) if rows else None


def _line(seen: Sequence[Seen], series: Series) -> dict[str, object]:
    """All trials as one line with gaps, thinned evenly."""
    total = sum(one.minutes.size for one in seen)
    step = max(1, -(-total // _MOST))
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for one in seen:
        if not one.states.known(series.key):
            continue
        minutes, values = one.minutes[::step], plain_values(one.states.values[series.key][::step])
        x += [*np.round(minutes, 3).tolist(), None]
        y += [*values, None]
        text += [plain(one.name)] * (len(values) + 1)
    return _trace(x, y, text, series.digits)


def _trace(
    x: Sequence[float | None],
    y: Sequence[float | None],
    text: Sequence[str],
    digits: str,
) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x),
        "y": list(y),
        "text": list(text),
        "showlegend": False,
        "line": {"color": colour(1), "width": 1.5},
        "marker": {"size": 4, "color": colour(1)},
        "hovertemplate": "%{x:.1f} min: %{y:" + digits + "}<br>%{text}<extra></extra>",
    }


def _drawn(rows: Sequence[PlotRow], x_title: str, notes: tuple[str, ...]) -> Chart:
    label = f"{listed([row.title for row in rows])} over the run."
    return Chart("run-state", label, stacked(rows, x_title), notes, "rows")


_AROUND: Final[tuple[tuple[str, str, float, Callable[[DeviceState], float | None]], ...]] = (
    ("hottest, °C", ".1f", 5.0, lambda s: s.hottest_c),
    (
        "clock, MHz",
        ".0f",
        200.0,
        lambda s: max(s.frequency_khz) / 1000 if s.frequency_khz else None,
    ),
    ("load (1 min)", ".2f", 0.5, lambda s: s.load_1m),
    ("battery, %", ".0f", 5.0, lambda s: s.battery_percent),
    ("power, W", ".2f", 1.0, lambda s: None if s.power_mw is None else s.power_mw / 1000),
)


def _around(entries: Sequence[Entry]) -> Chart | None:
    """State before and after each trial, for runs without readings during them."""
    trials = [t for e in entries if e.result for t in e.result.trials]
    moments = sorted(_moments(trials), key=lambda one: one[0])
    rows = tuple(
        PlotRow(title, (_points(moments, read, digits),), least=least)
        for title, digits, least, read in _AROUND
        if any(read(state) is not None for _, state in moments)
    )
    if not rows:
        return None
    notes = (f"Readings before and after {len(trials)} trials; none during them.",)
    return _drawn(rows, "minutes since the first trial", notes)


def _points(
    moments: Sequence[tuple[float, DeviceState]],
    read: Callable[[DeviceState], float | None],
    digits: str,
) -> dict[str, object]:
    first = moments[0][0]
    x = [round((at - first) / 60, 3) for at, _ in moments]
    y = [read(state) for _, state in moments]
    return _trace(x, y, [state.taken_at for _, state in moments], digits)


def _moments(trials: Sequence[Trial]) -> Iterable[tuple[float, DeviceState]]:
    for trial in trials:
        for state in (trial.before, trial.after):
            at = _moment(state.taken_at)
            if at is not None:
                yield at, state


def _moment(text: str) -> float | None:
    """Seconds since the epoch of an ISO 8601 time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
