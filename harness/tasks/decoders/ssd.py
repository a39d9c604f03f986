"""SSD with anchors (priors) that are still to be applied, as in Liu et al., 2016.

centre = prior centre + delta * variance * prior size, size = prior size * exp(delta * variance).
Priors are an output of the model, or follow from `anchors` and `strides` (or `feature_maps`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

from ...records import ModelSpec
from ..options import choice, levels, number, numbers, positive
from .boxes import (
    ORDERS,
    UNITS,
    check_scores,
    corners_of,
    in_pixels,
    input_size,
    passing,
    sigmoid,
    softmax,
)
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEC = DecoderSpec(
    about="SSD, RetinaNet and EfficientDet with deltas of anchors",
    outputs=(
        Output("boxes", ("1, N, 4", "1, N, 1, 4", "1, 4N"), "box|loc|delta|regress"),
        Output(
            "scores",
            ("1, N, C", "1, N, 1+C"),
            "score|class|conf|logit",
            "one for every class of model.yaml, and one more for the background",
        ),
        Output("priors", ("1, N, 4", "N, 4", "1, 2, 4N"), "prior|anchor", needed=False),
    ),
    box_order="cxcywh",
    box_units="relative",
    options=(
        "activation", "background", "anchors", "strides", "feature_maps", "anchor_offset",
        "variances", "prior_order",
    ),
)  # fmt: skip


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or another number of priors."""
    hint = "set options.activation: softmax (or sigmoid)"
    check_scores(found.name("scores"), scores_of(found, spec), hint)
    count = len(priors_of(found, spec)[0])
    if count != found.letters["N"]:
        raise ValueError(
            f"output {found.name('boxes')} has {found.letters['N']} boxes, "
            f"options.anchors make {count}"
        )


def scores_of(found: Found, spec: ModelSpec) -> NDArray[np.float32]:
    """Scores (N, C), without the background's."""
    scores = found["scores"][0]
    how = choice(spec, "activation", ("softmax", "sigmoid", "none"), "none")
    if how != "none":
        scores = softmax(scores) if how == "softmax" else sigmoid(scores)
    if found.form("scores") == 1:
        last = choice(spec, "background", ("first", "last"), "first") == "last"
        scores = scores[:, :-1] if last else scores[:, 1:]
    return np.asarray(scores, np.float32)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Each class of a prior is a candidate; only those that pass are computed."""
    locations, labels, best = passing(scores_of(found, spec), score_threshold)
    priors, variances = priors_of(found, spec)
    priors, variances = priors[locations], variances[locations]
    deltas = found["boxes"].reshape(-1, 4)[locations].astype(np.float32, copy=False)
    if choice(spec, "box_order", ORDERS[3:], SPEC.box_order) == "cycxhw":
        deltas = deltas[:, (1, 0, 3, 2)]
    moved = deltas * variances
    centre = priors[:, :2] + moved[:, :2] * priors[:, 2:]
    boxes = np.concatenate([centre, np.exp(moved[:, 2:]) * priors[:, 2:]], 1)
    return Decoded(in_pixels(corners_of(boxes, "cxcywh"), spec, SPEC), best, labels)


# ---- priors ------------------------------------------------------------------------------------


def priors_of(found: Found, spec: ModelSpec) -> Tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Priors (N, 4) centre and size in the boxes' units, and the variances (N, 4) of each."""
    four = variances_of(spec)
    if "priors" not in found:
        made = grid_priors(spec)
        return made, np.broadcast_to(four, made.shape)
    values, order = found["priors"].astype(np.float32, copy=False), "cxcywh"
    if found.form("priors") == 2:  # Caffe's PriorBox: corners, and their variances below
        priors, variances = values[0].reshape(2, -1, 4)
        order = "xyxy"
    else:
        priors = values.reshape(-1, 4)
        variances = np.broadcast_to(four, priors.shape)
    corners = corners_of(priors, choice(spec, "prior_order", ORDERS, order))
    size = corners[:, 2:] - corners[:, :2]
    return np.concatenate([corners[:, :2] + size / 2, size], 1), variances


def variances_of(spec: ModelSpec) -> NDArray[np.float32]:
    """Four: of x, y, width and height; two are of the centre and the size."""
    found = numbers(spec, "variances", (0.1, 0.2))
    if len(found) not in (2, 4):
        raise ValueError(
            f"model {spec.name}: options.variances: expected 2 or 4 numbers, got {len(found)}"
        )
    return np.repeat(np.array(found, np.float32), 4 // len(found))


def grid_priors(spec: ModelSpec) -> NDArray[np.float32]:
    """Priors (N, 4) of `anchors` in pixels at each cell of each level, row by row.

    `strides` are pixels from cell to cell; `feature_maps` are cells along a side, which fill it.
    An anchor is at the centre of its cell, or at `anchor_offset`.
    """
    if "anchors" not in spec.task_options:
        raise ValueError("no output is priors: set options.priors_output, or anchors and strides")
    by = "feature_maps" if "feature_maps" in spec.task_options else "strides"
    steps, anchors = positive(spec, by), levels(spec, "anchors", by)
    size = np.array(input_size(spec))
    parts = []
    for step, pairs in zip(steps, anchors):
        cells = np.array((step, step)).astype(int) if by != "strides" else -(-size // int(step))
        stride = size / cells if by != "strides" else np.array((step, step))
        sides = np.array(pairs, np.float64).reshape(-1, 2)
        parts.append(one_level(cells, stride, sides, number(spec, "anchor_offset")))
    priors = np.concatenate(parts)
    if choice(spec, "box_units", UNITS, SPEC.box_units) == "relative":
        priors = priors / np.array((size[1], size[0], size[1], size[0]))
    return np.asarray(priors, np.float32)


def one_level(
    cells: NDArray[Any], stride: NDArray[Any], anchors: NDArray[np.float64], offset: float
) -> NDArray[np.float64]:
    """Priors of `anchors` (A, 2) at `offset`, a share of its sides, in each of `cells` (h, w)."""
    row, column = np.mgrid[: cells[0], : cells[1]] + offset
    centres = np.stack([column * stride[1], row * stride[0]], -1).reshape(-1, 1, 2)
    count = (len(centres), len(anchors), 2)
    both = np.broadcast_to(centres, count), np.broadcast_to(anchors, count)
    return np.concatenate(both, -1).reshape(-1, 4)
