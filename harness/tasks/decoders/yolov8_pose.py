"""YOLOv8's keypoints: `yolov8` with x, y and score of each point after the scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...records import ModelSpec
from ..options import choice
from . import columns
from .boxes import UNITS, input_size
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="YOLOv8-pose, 11-pose",
    outputs=(
        Output(
            "predictions",
            ("1, 4+C+3K, N", "1, N, 4+C+3K"),
            hint="a box, one score for every class of model.yaml, three numbers for every keypoint",
        ),
    ),
    finds=("keypoints",),
    box_order="cxcywh",
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for no keypoint, scores that are not in 0..1, boxes in the other unit."""
    if not found.letters["K"]:
        raise ValueError(
            f"output {found.name('predictions')} has shape {found['predictions'].shape}, "
            "which leaves no number for keypoints"
        )
    columns.check(found, spec, SPEC)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Each class of a location is a candidate."""
    decoded, more = columns.decode(found, spec, score_threshold, SPEC)
    keypoints = more.reshape(len(more), found.letters["K"], 3)
    if choice(spec, "box_units", UNITS, SPEC.box_units) == "relative":
        height, width = input_size(spec)
        keypoints = keypoints * np.array((width, height, 1), np.float32)
    return replace(decoded, keypoints=keypoints)
