"""Execution placement, the same for every runtime: its layers, summed per provider."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Optional, Sequence, Tuple

from ..records import Layer, Placed, Placement

NAMED = 4


def warm_runs(runs: int) -> int:
    """Warm-up runs before the `runs` that are counted."""
    return min(3, max(1, runs // 4))


@dataclasses.dataclass(frozen=True)
class Profiled:
    """The result of a format's `profile`: layers without shares, and where they should run."""

    asked: str
    tool: str
    runs: int
    layers: Tuple[Layer, ...]


def placement(found: Profiled) -> Tuple[Placement, List[Layer]]:
    """The summary, and the layers with their shares, by time if known."""
    total_ms = _sum(found.layers)
    layers = [dataclasses.replace(la, share=_share(la.ms, total_ms)) for la in found.layers]
    layers.sort(key=lambda layer: -(layer.ms or 0.0))
    nodes = sum(layer.count for layer in layers)
    places: Dict[str, List[Layer]] = {}
    for layer in layers:
        places.setdefault(layer.where, []).append(layer)
    placed = tuple(_placed(where, of, nodes, total_ms) for where, of in places.items())
    elsewhere = [_unasked(p, places[p.where], nodes) for p in placed if p.where != found.asked]
    return (
        Placement(
            asked=found.asked,
            placed=placed,
            unasked=tuple(elsewhere),
            refused=found.asked not in places,
            tool=found.tool,
            runs=found.runs,
            total_ms=total_ms,
        ),
        layers,
    )


def _placed(where: str, layers: Sequence[Layer], nodes: int, total_ms: Optional[float]) -> Placed:
    count = sum(layer.count for layer in layers)
    return Placed(where, count, count / nodes, _share(_sum(layers), total_ms))


def _unasked(placed: Placed, layers: Sequence[Layer], nodes: int) -> str:
    """`2 of 90 nodes (2.2 %, 0.4 % of the time) ran on X: GATHER_ND, TOPK_V2`."""
    time = "" if placed.time_share is None else f", {100 * placed.time_share:.3g} % of the time"
    types = list(dict.fromkeys(layer.type for layer in layers))
    more = f" and {len(types) - NAMED} more" if len(types) > NAMED else ""
    return (
        f"{placed.nodes} of {nodes} nodes ({100 * placed.node_share:.3g} %{time}) "
        f"ran on {placed.where}: {', '.join(types[:NAMED])}{more}"
    )


def _sum(layers: Sequence[Layer]) -> Optional[float]:
    """None if a layer has no time."""
    times = [layer.ms for layer in layers if layer.ms is not None]
    return sum(times) if layers and len(times) == len(layers) else None


def _share(ms: Optional[float], total_ms: Optional[float]) -> Optional[float]:
    return None if ms is None or not total_ms else min(1.0, ms / total_ms)
