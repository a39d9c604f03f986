"""YOLOv8's masks: `yolov8` with coefficients of prototypes after the scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...records import ModelSpec
from . import columns
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="YOLOv8-seg, 11-seg",
    outputs=(
        Output("protos", ("1, M, h, w",)),
        Output(
            "predictions",
            ("1, 4+C+M, N", "1, N, 4+C+M"),
            hint="a box, one score for every class of model.yaml, one number for every prototype",
        ),
    ),
    finds=("masks",),
    box_order="cxcywh",
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or boxes in the other unit."""
    columns.check(found, spec, SPEC)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Each class of a location is a candidate."""
    decoded, coeffs = columns.decode(found, spec, score_threshold, SPEC)
    protos = found["protos"][0].astype(np.float32, copy=False)
    return replace(decoded, coeffs=coeffs, protos=protos)
