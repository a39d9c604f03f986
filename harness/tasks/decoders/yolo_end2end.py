"""YOLOv10, YOLO26: the best boxes, each with its score and class; no two show one object."""

from __future__ import annotations

import numpy as np

from ...records import ModelSpec
from ..options import number
from .boxes import check_labels, check_scores, labels_of, to_corners
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="YOLOv10, YOLO26, and YOLO models exported with their NMS",
    outputs=(Output("predictions", ("1, K, 6",), hint="x0, y0, x1, y1, score, class of each box"),),
    nms=False,
    options=("class_offset",),
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or labels that no class has."""
    rows, name = found["predictions"][0], found.name("predictions")
    check_scores(name, rows[:, 4], "the fifth number of a row is its score")
    check_labels(name, labels_of(rows[:, 5], number(spec, "class_offset")), rows[:, 4], spec)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """The rows that pass."""
    rows = found["predictions"][0]
    rows = rows[rows[:, 4] >= score_threshold].astype(np.float32, copy=False)
    labels = labels_of(rows[:, 5], number(spec, "class_offset"))
    return Decoded(to_corners(rows[:, :4], spec, SPEC), rows[:, 4], labels)
