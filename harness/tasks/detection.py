"""Object detection: letterboxed input, decoded boxes and class scores out, NMS here. Numpy only.

A model of this task has outputs `boxes` (1, N, 4) xyxy in input pixels and `scores` (1, N, C) in
0..1, one for each of its C classes. `task_options`: `max_detections`, `nms_iou`, `score_threshold`,
`accuracy_score_threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry, letterbox
from .nms import nms
from .options import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = "coco-map"
OUTPUTS: tuple[str, ...] = ("boxes", "scores")
SLACK = 0.01
"""Tolerance for scores outside 0..1."""


@dataclass(frozen=True)
class Candidates:
    """The result of NMS: indices (n,) of locations, boxes in input pixels, scores and labels."""

    locations: NDArray[np.intp]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]


def preprocess(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Letterbox `image` (H, W, 3) uint8 RGB into (1, 3, h, w) float32 RGB in 0..1."""
    return letterbox(image, spec.input.shape[-2:], out)


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError for wrong shapes, a wrong number of classes, or scores outside 0..1."""
    boxes, scores = outputs["boxes"], outputs["scores"]
    if boxes.ndim != 3 or boxes.shape[0] != 1 or boxes.shape[2] != 4:
        raise ValueError(f"output boxes has shape {boxes.shape}, expected (1, N, 4)")
    wanted = (1, boxes.shape[1], len(spec.classes))
    if scores.shape != wanted:
        raise ValueError(
            f"output scores has shape {scores.shape}, expected {wanted}: "
            "one score per class of model.yaml, without background"
        )
    finite = scores[np.isfinite(scores)]
    low, high = finite.min(initial=0.0), finite.max(initial=0.0)
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(
            f"output scores ranges from {low:.3g} to {high:.3g}, expected 0 to 1: "
            "end forward() with a sigmoid"
        )


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """Detections of one image from a model's raw outputs (batch axis 1)."""
    found = select(outputs, spec, score_threshold)
    boxes = geometry.to_original(found.boxes)
    some = visible(boxes)
    return Detections(boxes[some], found.scores[some], found.labels[some])


def select(
    outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec, score_threshold: float
) -> Candidates:
    """Filter by score before anything else, then NMS; each class of a location is a candidate."""
    scores = outputs["scores"][0].astype(np.float32, copy=False)
    locations, labels = np.nonzero(scores >= score_threshold)
    best = scores[locations, labels]
    boxes = outputs["boxes"][0][locations].astype(np.float32)
    keep = nms(
        boxes,
        best,
        labels.astype(np.int32),
        iou_threshold=number(spec, "nms_iou"),
        limit=int(number(spec, "max_detections")),
    )
    return Candidates(locations[keep], boxes[keep], best[keep], labels[keep].astype(np.int32))


def visible(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes (n, 4) xyxy have any area left inside the image."""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
