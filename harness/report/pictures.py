"""Which images a cell's page shows, and where they come from; `panels` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import StepFailed
from harness.metrics import outlines
from harness.records import Cell
from harness.steps import datasets
from harness.steps.dataset_kinds import source as sources
from harness.steps.dataset_kinds.findings import OF_FILES, Wrong
from harness.steps.dataset_kinds.found import Found, Picture
from harness.steps.dataset_kinds.source import Source
from harness.tasks.detections import Detections, unpack
from harness.untrusted.files import is_inside
from harness.untrusted.results import read_predictions as read_arrays

#: images on a cell's page, and the score that a detection needs to be drawn
SHOWN: Final = 4
THRESHOLD: Final = 0.25
#: how many of them are those most different from the reference, and what still counts as the same
MOST_DIFFERENT: Final = 2
SAME: Final = 0.05
_SAME_IOU: Final = 0.5

Polygon = NDArray[np.float64]


class PictureSource(Protocol):
    """A dataset's images with their truth, and where each cell's predictions lie."""

    def image_ids(self) -> Sequence[int]:
        """Every image of the dataset, in its order."""
        ...

    def image(self, image_id: int) -> NDArray[np.uint8]:
        """(height, width, 3) RGB."""
        ...

    def truth(self, image_id: int) -> Sequence[Polygon]:
        """Outlines (k, 2) in pixels."""
        ...

    def predictions(self, cell: Cell) -> Path | None:
        """The cell's `predictions.npz`, or None where it has none."""
        ...


@dataclass(frozen=True)
class CocoPictures:
    """A dataset on disk and the run folder that holds the predictions."""

    dataset: Source
    run: Path

    @classmethod
    def of(cls, dataset: Source | Path, run: Path) -> CocoPictures:
        """Of a dataset as model.yaml names it, or of its folder."""
        return cls(sources.of(dataset), run)

    @cached_property
    def _files(self) -> dict[int, Picture]:
        return {one.id: one for one in self._found.pictures}

    @cached_property
    def _polygons(self) -> dict[int, list[Polygon]]:
        found: dict[int, list[Polygon]] = {}
        for one in self._found.truth.annotations:
            box = [_corners(one.box)] if one.box else []
            found.setdefault(one.image_id, []).extend(_outlines(one.segmentation) or box)
        return found

    @cached_property
    def _found(self) -> Found:
        """A missing file costs only its own image."""
        return datasets.find(self.dataset, Wrong(forgiven=OF_FILES))

    def image_ids(self) -> Sequence[int]:
        """In the dataset's order."""
        return tuple(self._files)

    def image(self, image_id: int) -> NDArray[np.uint8]:
        """Raises BenchError for an image that is gone or damaged."""
        if image_id not in self._files:
            raise StepFailed(f"image id {image_id}: its file is not in the dataset's folder")
        return datasets.decode(self._files[image_id])

    def truth(self, image_id: int) -> Sequence[Polygon]:
        """Polygons; the box's corners where an annotation has none."""
        return self._polygons.get(image_id, [])

    def predictions(self, cell: Cell) -> Path | None:
        """In the cell's folder of the run."""
        path = self.run / "cells" / cell.id / "predictions.npz"
        return path if is_inside(path, self.run) else None


def _outlines(segmentation: object) -> list[Polygon]:
    """Its polygons; none for run lengths, and where there is nothing to draw."""
    try:
        found = outlines.parse(segmentation)
    except ValueError:
        return []
    return [np.asarray(one).reshape(-1, 2) for one in found] if isinstance(found, tuple) else []


def _corners(bbox: object) -> Polygon:
    """Corners of a COCO box (x, y, width, height)."""
    x, y, width, height = np.asarray(bbox, np.float64)
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def read_predictions(path: Path | None) -> dict[int, Detections]:
    """Detections over the threshold by image id; nothing for a missing or damaged file."""
    if path is None:
        return {}
    try:
        rows = unpack(read_arrays(path))
    except StepFailed:
        return {}
    return {image_id: _sure(found) for image_id, _, found in rows}


def _sure(found: Detections) -> Detections:
    keep = np.flatnonzero(found.scores >= THRESHOLD)
    masks = None if found.masks is None else tuple(found.masks[i] for i in keep)
    return Detections(found.boxes[keep], found.scores[keep], found.labels[keep], masks)


def choose(
    ids: Sequence[int], mine: dict[int, Detections], reference: dict[int, Detections]
) -> tuple[tuple[int, float], ...]:
    """Up to SHOWN images with their difference: half the most different, the rest evenly."""
    there = [i for i in ids if i in mine]
    far = {i: difference(mine[i], reference[i]) for i in there if i in reference}
    worst = [i for i in sorted(far, key=lambda i: -far[i]) if far[i] > SAME][:MOST_DIFFERENT]
    rest = [i for i in there if i not in worst and len(mine[i])] or there
    step = max(1, len(rest) // max(1, SHOWN - len(worst)))
    even = [i for i in rest[step // 2 :: step] if i not in worst]
    return tuple((i, far.get(i, 0.0)) for i in (worst + even)[:SHOWN])


def difference(mine: Detections, other: Detections) -> float:
    """Detections without a partner, plus what the partners' boxes and scores differ by."""
    overlaps, total, matched = iou(mine.boxes, other.boxes), 0.0, 0
    for row in range(len(mine)):
        if not overlaps.shape[1] or overlaps[row].max() < _SAME_IOU:
            continue
        partner = int(overlaps[row].argmax())
        total += 1.0 - float(overlaps[row, partner])
        total += abs(float(mine.scores[row] - other.scores[partner]))
        overlaps[:, partner] = 0.0
        matched += 1
    return total + len(mine) + len(other) - 2 * matched


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4), xyxy."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2, dtype=np.float64)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float64) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float64)
