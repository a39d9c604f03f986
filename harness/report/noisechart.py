"""A device's noise floor: one cell against itself, and what a change must exceed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.noise_floor import Noise
from harness.report.celltables import Pairs
from harness.report.numbers import figures, timing_bounds
from harness.report.page import Chart
from harness.report.plots import colour


@dataclass(frozen=True)
class NoiseShown:
    """The last check of a device's noise."""

    facts: Pairs
    chart: Chart | None
    flags: tuple[str, ...]
    advice: tuple[str, ...]


def shown(noise: Noise, emulated: bool) -> NoiseShown:
    """Percentages are shown for every device; milliseconds never for an emulated one."""
    return NoiseShown(_facts(noise, emulated), chart(noise), noise.flags, noise.advice)


def _facts(noise: Noise, emulated: bool) -> Pairs:
    ratio = noise.sides.ratio
    sides = f"{_change(ratio.value)} [{_change(ratio.low)}, {_change(ratio.high)}]"
    rows = [
        ("checked", f"{noise.taken_at}, {noise.profile}, {noise.trials} trials per side"),
        ("with", noise.cell_id),
        ("median", "" if emulated else timing_bounds(noise.p50_ms)),
        ("A/A", f"{sides}: {noise.sides.outcome}"),
        ("coefficient of variation, trials", f"{figures(noise.between_percent)} %"),
        ("coefficient of variation, samples", f"{figures(noise.within_percent)} %"),
        *((f"noise floor, {name}", f"{figures(v)} %") for name, v in noise.floor_percent.items()),
        *(
            (f"smallest detectable change, {name}", f"{figures(v)} %")
            for name, v in noise.detectable_percent.items()
        ),
        ("quick agrees with full", _agrees(noise)),
        ("steal time", _percent(noise.steal_percent)),
        ("tasks waiting for a CPU", _percent(noise.pressure_percent)),
    ]
    return tuple((name, text) for name, text in rows if text)


def _change(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %" if math.isfinite(ratio) else "unknown"


def _agrees(noise: Noise) -> str:
    if noise.quick_ratio is None:
        return ""
    words = {True: "yes", False: "no", None: "inconclusive"}
    return f"{words[noise.quick_agrees]} (ratio {noise.quick_ratio:.3f})"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{figures(value)} %"


def chart(noise: Noise) -> Chart | None:
    """A/A as a point with its interval, each profile's floor as a bar around zero."""
    ratio = noise.sides.ratio
    if not all(math.isfinite(v) for v in (ratio.value, ratio.low, ratio.high)):
        return None
    names = [f"noise floor, {name}" for name in noise.floor_percent]
    floors = list(noise.floor_percent.values())
    bars: dict[str, object] = {
        "type": "bar",
        "orientation": "h",
        "name": "within the noise floor",
        "y": names,
        "base": [-v for v in floors],
        "x": [2 * v for v in floors],
        "width": 0.5,
        "marker": {"color": colour(6), "opacity": 0.55},
        "text": [f"± {figures(v)} %" for v in floors],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "insidetextfont": {"color": "var(--text)"},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    value, low, high = (100 * (v - 1) for v in (ratio.value, ratio.low, ratio.high))
    point: dict[str, object] = {
        "type": "scatter",
        "mode": "markers",
        "name": "A/A",
        "y": ["A/A"],
        "x": [value],
        "error_x": {"type": "data", "symmetric": False, "array": [high - value],
                    "arrayminus": [value - low], "color": colour(2), "width": 6},
        "marker": {"size": 11, "color": colour(2)},
        "hovertemplate": f"{value:+.2f} % [{low:+.2f}, {high:+.2f}]<extra>A/A</extra>",
    }  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "difference between two measurements of one cell, %"},
                  "zeroline": True, "zerolinewidth": 2},
        "yaxis": {"type": "category", "title": {"text": ""}},
        "height": 130 + 55 * (len(names) + 1),
        "margin": {"l": 110, "r": 16, "t": 12, "b": 72},
    }  # fmt: skip
    label = (
        "Difference of one cell from itself with its interval, and the noise floor of each profile."
    )
    notes = ("95 % of repeated measurements differ by less than the noise floor.",)
    return Chart("noise", label, {"data": [bars, point], "layout": layout}, notes, "rows")
