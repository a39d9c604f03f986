"""DETR and RT-DETR: a box for each query, and logits of its class.

With a class more than the model has, logits are of a softmax whose last class is no object, and a
query is of its best class; else they are of a sigmoid, and each class of a query is a candidate.
"""

from __future__ import annotations

import numpy as np

from ...records import ModelSpec
from ..options import choice
from .boxes import check_scores, check_units, passing, sigmoid, softmax, to_corners
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="DETR; RT-DETR, Deformable DETR, D-FINE",
    outputs=(
        Output("boxes", ("1, Q, 4",), "box"),
        Output(
            "logits",
            ("1, Q, C", "1, Q, 1+C"),
            "logit|score|class|label",
            "one for every class of model.yaml, and one more for no object with a softmax",
        ),
    ),
    box_order="cxcywh",
    box_units="relative",
    nms=False,
    options=("activation",),
)


def scores_of(found: Found, spec: ModelSpec) -> np.ndarray:
    """Scores (Q, C)."""
    logits, background = found["logits"][0], found.form("logits") == 1
    how = choice(
        spec, "activation", ("softmax", "sigmoid", "none"), "softmax" if background else "sigmoid"
    )
    if how != "none":
        logits = softmax(logits) if how == "softmax" else sigmoid(logits)
    return np.asarray(logits[:, : len(spec.classes)], np.float32)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or boxes in the other unit."""
    check_scores(found.name("logits"), scores_of(found, spec), "leave out options.activation")
    check_units(found.name("boxes"), found["boxes"][0], spec, SPEC)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """The best class of each query, or, with a sigmoid, all that pass."""
    scores = scores_of(found, spec)
    if found.form("logits") == 1:
        best = scores.argmax(axis=1)
        lesser = np.arange(scores.shape[1]) != best[:, None]
        scores = np.where(lesser, np.float32(-1), scores)
    locations, labels, passed = passing(scores, score_threshold)
    return Decoded(to_corners(found["boxes"][0][locations], spec, SPEC), passed, labels)
