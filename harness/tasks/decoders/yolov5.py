"""YOLOv5, v7 with decoded boxes: box (centre and size), objectness, a score for each class."""

from __future__ import annotations

import numpy as np

from ...records import ModelSpec
from .boxes import check_scores, check_units, passing, to_corners
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="YOLOv5, v7, and others that end with decoded boxes; YOLOX (with its own export's "
    "`--decode_in_inference`)",
    outputs=(
        Output(
            "predictions",
            ("1, N, 5+C",),
            hint="a box, its objectness, one score for every class of model.yaml",
        ),
    ),
    box_order="cxcywh",
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or boxes in the other unit."""
    rows, name = found["predictions"][0], found.name("predictions")
    check_scores(name, rows[:, 4:], "export the model with its sigmoid")
    check_units(name, rows[:, :4], spec, SPEC)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """A candidate's score is objectness times class score; objectness alone must pass, too."""
    rows = found["predictions"][0]
    rows = rows[rows[:, 4] >= score_threshold].astype(np.float32, copy=False)
    locations, labels, best = passing(rows[:, 5:] * rows[:, 4:5], score_threshold)
    return Decoded(to_corners(rows[locations, :4], spec, SPEC), best, labels)
