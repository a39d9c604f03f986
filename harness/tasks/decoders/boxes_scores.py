"""Boxes, and a score for each class, as RIO has them; and the masks of its kind."""

from __future__ import annotations

import numpy as np

from ...records import ModelSpec
from .boxes import check_scores, passing, to_corners
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="RIO, and models that end with decoded boxes and sigmoid",
    outputs=(
        Output("boxes", ("1, N, 4",), "box"),
        Output(
            "scores",
            ("1, N, C",),
            "score|prob|conf",
            "one score per class of model.yaml, without background",
        ),
        Output("protos", ("1, K, h, w",), needed=False),
        Output("coeffs", ("1, N, K",), needed=False),
    ),
    finds=("masks",),
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1."""
    check_scores(found.name("scores"), found["scores"], "end forward() with a sigmoid")


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Each class of a location is a candidate."""
    scores = found["scores"][0].astype(np.float32, copy=False)
    locations, labels, best = passing(scores, score_threshold)
    boxes = to_corners(found["boxes"][0][locations], spec, SPEC)
    if "protos" not in found or "coeffs" not in found:
        return Decoded(boxes, best, labels)
    coeffs = found["coeffs"][0][locations].astype(np.float32)
    protos = found["protos"][0].astype(np.float32, copy=False)
    return Decoded(boxes, best, labels, coeffs, protos)
