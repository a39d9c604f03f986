"""Stacked plots with a shared horizontal axis, zoom and legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.report.page import Figure

_GAP: Final = 0.05
_ROW_PX: Final = 120
_EDGE_PX: Final = 110


@dataclass(frozen=True)
class PlotRow:
    """One plot: axis title, relative height, traces."""

    title: str
    traces: tuple[dict[str, object], ...]
    weight: float = 1.0
    #: the axis never spans less, so that a steady value looks steady
    least: float = 0.0


def stacked(rows: Sequence[PlotRow], x_title: str) -> Figure:
    """A figure of all rows, the first on top; a legend entry hides its trace in every row."""
    heights = [row.weight for row in rows]
    room = 1.0 - _GAP * (len(rows) - 1)
    data: list[object] = []
    layout: dict[str, object] = {
        "hovermode": "closest",
        "height": round(_EDGE_PX + _ROW_PX * sum(heights)),
        "xaxis": {"title": {"text": x_title}, "anchor": _axis("y", len(rows))},
    }
    top = 1.0
    for number, row in enumerate(rows, 1):
        bottom = max(0.0, top - room * row.weight / sum(heights))
        layout[f"yaxis{number if number > 1 else ''}"] = {
            "title": {"text": row.title},
            "domain": [round(bottom, 4), round(top, 4)],
            "nticks": 5,
            **_range(row),
        }
        data += [{**trace, "yaxis": _axis("y", number)} for trace in row.traces]
        top = bottom - _GAP
    return {"data": data, "layout": layout}


def _range(row: PlotRow) -> dict[str, object]:
    """A range of the least span, where the values need less; else the drawing's own choice."""
    columns = (trace.get("y") for trace in row.traces)
    known = [v for y in columns if isinstance(y, list) for v in y if v is not None]
    if not known or max(known) - min(known) >= row.least:
        return {}
    middle = (max(known) + min(known)) / 2
    return {"range": [middle - row.least / 2, middle + row.least / 2]}


def _axis(letter: str, number: int) -> str:
    return letter if number == 1 else f"{letter}{number}"
