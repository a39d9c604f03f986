"""Keypoints of objects, such as a person's joints: `detection` with points in each box. Numpy only.

The model's decoder is one that finds keypoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from . import detection
from .detection import check as check
from .detection import preprocess as preprocess
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = "oks"
IMAGES = True
OPTIONS = detection.OPTIONS


@detection.unusual
def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """Boxes with keypoints of one image from a model's raw outputs (batch axis 1)."""
    found = detection.select(outputs, spec, score_threshold)
    boxes = geometry.to_original(found.boxes)
    some = detection.visible(boxes)
    if found.keypoints is None:
        raise ValueError(f"model {spec.name}: decoder {spec.decoder!r} finds no keypoints")
    points = found.keypoints[some].astype(np.float32)
    points[..., :2] = geometry.points_to_original(points[..., :2])
    return Detections(boxes[some], found.scores[some], found.labels[some], keypoints=points)
