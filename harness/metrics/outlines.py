"""Segmentations of COCO files: polygons or run lengths, as various tools write them.

Accepted besides COCO's forms: VIA's flat list of one polygon, corners as pairs, numbers as text. A
polygon with fewer than three corners has no area. Masks are read only if masks are scored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import coco_rle
from .json_values import missing, numbers, shown, whole

FAR: Final = 1e6
"""Upper bound of a polygon's coordinates, pixels."""

Box = tuple[float, float, float, float]
#: each x, y, x, y, …; none at all: an outline that encloses nothing
Polygons = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class RunLengths:
    """COCO's run lengths down the columns; `counts` is its compressed text or the runs."""

    height: int
    width: int
    counts: str | tuple[int, ...]


Outline = Polygons | RunLengths


def parse(value: Any) -> Outline | None:
    """The outline; None if the annotation has none.

    Raises ValueError whose text continues the field's name: `[2]: expected …`.
    """
    if missing(value):
        return None
    if isinstance(value, dict):
        return _run_lengths(value)
    if not isinstance(value, list):
        raise ValueError(f": expected polygons or run lengths, got {shown(value)}")
    whole_value = _corners(value)
    if whole_value is not None:
        return _enclosing([whole_value])
    found = []
    for at, part in enumerate(value):
        corners = _corners(part)
        if corners is None:
            raise ValueError(f"[{at}]: expected x, y of at least 3 corners, got {shown(part)}")
        found.append(corners)
    return _enclosing(found)


def _corners(value: Any) -> tuple[float, ...] | None:
    """One polygon [x, y, …] or [[x, y], …], flat; None if it is none."""
    flat = numbers(value)
    if flat is None and isinstance(value, list):
        pairs = [numbers(one) for one in value]
        if len(pairs) < 3 or any(one is None or len(one) != 2 for one in pairs):
            return None
        flat = tuple(part for one in pairs if one for part in one)
    if flat is None or len(flat) % 2 or any(abs(part) > FAR for part in flat):
        return None
    return flat


def _enclosing(polygons: Iterable[tuple[float, ...]]) -> Polygons:
    return tuple(one for one in polygons if len(one) >= 6)


def _run_lengths(value: dict[str, Any]) -> RunLengths:
    size, counts = _wholes(value.get("size")), value.get("counts")
    runs = counts if isinstance(counts, str) else _wholes(counts)
    if runs is None or size is None or len(size) != 2:
        raise ValueError(f": expected {{size, counts}}, got {shown(value)}")
    return RunLengths(size[0], size[1], runs)


def _wholes(value: Any) -> tuple[int, ...] | None:
    """A list of non-negative integers; None if it is anything else."""
    found = [whole(one) for one in value] if isinstance(value, list) else [None]
    sound = [one for one in found if one is not None and one >= 0]
    return tuple(sound) if len(sound) == len(found) else None


def around(outline: Outline | None) -> Box:
    """The box around it; raises ValueError, like `parse`, if it has no area."""
    if isinstance(outline, RunLengths):
        counts = outline.counts
        runs = coco_rle.decompressed([counts])[0] if isinstance(counts, str) else np.array(counts)
        if runs.sum() == outline.height * outline.width and runs[1::2].any():
            return _around_runs(runs, outline.height)
    elif outline:
        x = [part for polygon in outline for part in polygon[0::2]]
        y = [part for polygon in outline for part in polygon[1::2]]
        return min(x), min(y), max(x) - min(x), max(y) - min(y)
    raise ValueError(": no area, and no bbox")


def _around_runs(runs: NDArray[np.int64], height: int) -> Box:
    """Box of whole pixels around the ones of run lengths."""
    after = np.cumsum(runs)
    first, last = after[0::2][: len(runs) // 2], after[1::2] - 1
    some = last >= first
    first, last = first[some], last[some]
    left, right = int(first[0]) // height, int(last[-1]) // height
    if (first // height != last // height).any():  # a run goes on in the next column
        top, bottom = 0, height - 1
    else:
        top, bottom = int((first % height).min()), int((last % height).max())
    return left, top, right - left + 1, bottom - top + 1
