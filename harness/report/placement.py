"""Execution placement and the time of each layer, as reported by the runtime when profiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import StepFailed
from harness.records import Cell, Layer, Placement
from harness.report.numbers import figures
from harness.serial import Malformed, from_json, parse
from harness.untrusted import files
from harness.untrusted.text import RECORD_BYTES

FILE: Final = "layers.json"
SHOWN: Final = 30


@dataclass(frozen=True)
class PlacementRow:
    """What one provider or delegate ran; percentages for the bars, None if unknown."""

    where: str
    nodes: str
    node_percent: float
    time_percent: float | None


@dataclass(frozen=True)
class PlacementShown:
    """Execution placement as shown."""

    asked: str
    alert: str
    places: tuple[PlacementRow, ...]
    source: str


@dataclass(frozen=True)
class LayerLine:
    """One layer; empty if the runtime reports no times."""

    rank: int
    name: str
    type: str
    where: str
    ms: str
    sort_ms: float | None
    percent: float | None


@dataclass(frozen=True)
class LayersShown:
    """The slowest layers; `missing` says why there are none."""

    lines: tuple[LayerLine, ...]
    caption: str
    timed: bool
    missing: str = ""


def placement(known: Placement | None, timed: bool) -> PlacementShown | None:
    """None if not recorded; `timed`: whether milliseconds may be shown."""
    if known is None:
        return None
    places = tuple(
        PlacementRow(
            p.where,
            f"{p.nodes:,}",
            _percent(p.node_share),
            None if p.time_share is None else _percent(p.time_share),
        )
        for p in sorted(known.placed, key=lambda p: -p.node_share)
    )
    total = ""
    if timed and known.total_ms:
        total = f", {figures(known.total_ms)} ms per run in all layers"
    source = f"Reported by {known.tool}, in a separate pass of {known.runs:,} runs{total}."
    return PlacementShown(known.asked, _alert(known), places, source)


def _alert(known: Placement) -> str:
    if known.refused:
        return f"{known.asked} ran no nodes."
    if known.unasked:
        return f"Fell back to another provider: {', '.join(known.unasked)}."
    return ""


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 1)


def layers(run: Path, cell: Cell, timed: bool) -> LayersShown | None:
    """The SHOWN slowest layers; `timed`: whether milliseconds may be shown."""
    folder = run / "cells" / cell.id
    path = next(iter(sorted(folder.rglob(FILE))), None)
    if path is None:
        return None
    try:
        found = _read(path, run)
    except (StepFailed, Malformed):
        why = f"{path.relative_to(folder)} is unreadable: it is damaged"
        return LayersShown((), "", False, why)
    return _shown(found, timed) if found else None


def _read(path: Path, run: Path) -> list[Layer]:
    """A list of layers, alone or under the key `layers`."""
    read = parse(files.read(path, RECORD_BYTES, run), FILE)
    rows = read.get("layers", ()) if isinstance(read, dict) else read
    if not isinstance(rows, (list, tuple)):
        raise Malformed("no list of layers")
    return [from_json(Layer, row, f"layers[{n}]") for n, row in enumerate(rows)]


def _shown(found: Sequence[Layer], timed: bool) -> LayersShown:
    total = sum(layer.ms or 0.0 for layer in found)
    ordered = sorted(found, key=lambda layer: -(layer.ms or 0.0))[:SHOWN]
    lines = tuple(_line(n, layer, total, timed) for n, layer in enumerate(ordered, 1))
    some = f"The {len(lines)} slowest of {len(found):,} layers" if total else "Layers"
    if len(lines) == len(found):
        some = f"All {len(found):,} layers"
    where = "; times are not comparable with the headline" if timed and total else ""
    return LayersShown(lines, f"{some}, from a separate pass{where}", timed and total > 0)


def _line(rank: int, layer: Layer, total: float, timed: bool) -> LayerLine:
    share = layer.share
    if share is None and layer.ms is not None and total:
        share = layer.ms / total
    shown = timed and layer.ms is not None
    return LayerLine(
        rank=rank,
        name=layer.name,
        type=layer.type,
        where=layer.where,
        ms=figures(layer.ms or 0.0) if shown else "",
        sort_ms=layer.ms if shown else None,
        percent=None if share is None else _percent(share),
    )
