"""The device's readings during a cell's trials, as plots below its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.report.data import TrialSamples
from harness.report.page import Chart
from harness.report.plots import colour, listed
from harness.report.readings import SERIES, Series, States
from harness.report.rows import PlotRow, stacked

X_TITLE: Final = "seconds since the trial's first sample"
_DRAWN: Final = ("hottest_c", "clock_mhz", "power_w")
#: points of one line at most: a reading comes twice a second at most
_MOST: Final = 1200


@dataclass(frozen=True)
class TimedStates:
    """Readings of one trial by seconds since its first sample; `aligned`: by a shared clock."""

    index: int
    states: States
    at_s: NDArray[np.float64]
    aligned: bool


def placed(
    trials: Sequence[TrialSamples], states: Sequence[States | None]
) -> tuple[TimedStates, ...]:
    """Readings aligned with their samples; the clocks agree unless the device has slept."""
    pairs = zip(trials, states, strict=False)
    return tuple(_placed(trial, known) for trial, known in pairs if known)


def _placed(trial: TrialSamples, states: States) -> TimedStates:
    since = states.at_s - trial.began_s
    length = float(trial.start_s[-1]) if trial.start_s.size else 0.0
    aligned = bool(trial.start_s.size) and since[0] <= length and since[-1] >= 0.0
    return TimedStates(trial.index, states, since if aligned else since - since[0], aligned)


def rows(made: Sequence[TimedStates]) -> tuple[PlotRow, ...]:
    """A plot for each quantity with readings."""
    found = []
    for series in (one for one in SERIES if one.key in _DRAWN):
        known = [one for one in made if one.states.known(series.key)]
        traces = tuple(_trace(one, series) for one in known)
        if traces:
            found.append(PlotRow(series.title, traces, least=series.least))
    return tuple(found)


def notes(made: Sequence[TimedStates]) -> tuple[str, ...]:
    """Notes on what the plot does not show."""
    apart = [str(one.index) for one in made if not one.aligned]
    if not apart:
        return ()
    which = f"trial{'s' if len(apart) > 1 else ''} {listed(apart)}"
    return (f"Readings of {which} share no clock with the samples: they start at 0 here.",)


def chart(trials: Sequence[TrialSamples], states: Sequence[States | None]) -> Chart | None:
    """Readings only, for a cell whose samples are not shown."""
    made = placed(trials, states)
    under = rows(made)
    if not under:
        return None
    shown = [
        replace(row, traces=tuple({**t, "showlegend": not n} for t in row.traces))
        for n, row in enumerate(under)
    ]
    label = f"{listed([row.title for row in under])} during {len(made)} trials."
    figure = stacked(shown, X_TITLE)
    return Chart("state", label, figure, notes(made), "rows", "Device state during the trials")


def _trace(one: TimedStates, series: Series) -> dict[str, object]:
    step = max(1, -(-one.at_s.size // _MOST))
    values = one.states.values[series.key][::step]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"trial {one.index}",
        "legendgroup": f"trial {one.index}",
        "showlegend": False,
        "x": np.round(one.at_s[::step], 2).tolist(),
        "y": plain_values(values),
        "line": {"color": colour(one.index + 1), "width": 1.5},
        "marker": {"size": 3, "color": colour(one.index + 1)},
        "hovertemplate": "%{x:.1f} s: %{y:" + series.digits + "}<extra>%{fullData.name}</extra>",
    }


def plain_values(values: NDArray[np.float64]) -> list[float | None]:
    """For JSON: a gap where a value is unknown."""
    return [round(float(v), 3) if np.isfinite(v) else None for v in values]
