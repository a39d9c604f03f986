"""What decoders share: boxes in any order and unit, scores that pass, logits. Numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

from ...records import ModelSpec
from ..options import choice
from .spec import DecoderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: how four numbers may say a box: two corners, corner and size, centre and size
ORDERS = ("xyxy", "yxyx", "xywh", "cxcywh", "cycxhw")
UNITS = ("pixels", "relative")
SLACK = 0.01
"""By so much may a score of low precision be outside of 0..1."""


def input_size(spec: ModelSpec) -> Tuple[int, int]:
    """Height and width of the model's input."""
    height, width = spec.input.size
    return height, width


def to_corners(boxes: NDArray[Any], spec: ModelSpec, decoder: DecoderSpec) -> NDArray[np.float32]:
    """Boxes (n, 4) in the decoder's or the model's own order and units -> xyxy in input pixels."""
    order = choice(spec, "box_order", ORDERS, decoder.box_order)
    return in_pixels(corners_of(boxes.astype(np.float32, copy=False), order), spec, decoder)


def in_pixels(
    corners: NDArray[np.float32], spec: ModelSpec, decoder: DecoderSpec
) -> NDArray[np.float32]:
    """Boxes (n, 4) xyxy in the decoder's or the model's own units -> in input pixels."""
    if choice(spec, "box_units", UNITS, decoder.box_units) == "relative":
        height, width = input_size(spec)
        corners = corners * np.array((width, height, width, height), np.float32)
    return corners


def corners_of(boxes: NDArray[np.float32], order: str) -> NDArray[np.float32]:
    """Boxes (n, 4) in one of ORDERS -> xyxy."""
    if order in ("yxyx", "cycxhw"):
        boxes = boxes[:, (1, 0, 3, 2)]
    if order in ("xyxy", "yxyx"):
        return np.asarray(boxes)
    first, size = boxes[:, :2], boxes[:, 2:]
    near = first if order == "xywh" else first - size / 2
    return np.concatenate([near, near + size], 1)


def passing(
    scores: NDArray[Any], threshold: float, *, classes_first: bool = False
) -> Tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float32]]:
    """Locations, labels and scores of all that pass, by location, then label; NaN never does.

    `scores` is (N, C), or (C, N) with `classes_first`.
    """
    if classes_first:
        labels, locations = np.nonzero(scores >= threshold)
        order = np.argsort(locations, kind="stable")
        labels, locations = labels[order], locations[order]
        best = scores[labels, locations]
    else:
        locations, labels = np.nonzero(scores >= threshold)
        best = scores[locations, labels]
    return locations, labels.astype(np.int32), best.astype(np.float32, copy=False)


def sigmoid(values: NDArray[Any]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), 0 and 1 for the largest values."""
    with np.errstate(over="ignore"):
        below = np.exp(-values.astype(np.float32, copy=False))
    return np.asarray(1 / (1 + below), np.float32)


def softmax(values: NDArray[Any]) -> NDArray[np.float32]:
    """Over the last axis."""
    values = values.astype(np.float32, copy=False)
    powers = np.exp(values - values.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def labels_of(values: NDArray[Any], offset: float) -> NDArray[np.int32]:
    """Labels that came as any kind of number, without the offset; -1 for what is none."""
    shifted = np.rint(values.astype(np.float64)) - offset
    usual = np.isfinite(shifted) & (np.abs(shifted) < 1 << 30)
    return np.where(usual, shifted, -1).astype(np.int32)


# ---- checks ------------------------------------------------------------------------------------


def check_scores(name: str, scores: NDArray[Any], hint: str) -> None:
    """Raises ValueError for scores that are not in 0..1."""
    finite = scores[np.isfinite(scores)]
    low, high = finite.min(initial=0.0), finite.max(initial=0.0)
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(
            f"output {name} ranges from {low:.3g} to {high:.3g}, expected 0 to 1: {hint}"
        )


def check_units(name: str, boxes: NDArray[Any], spec: ModelSpec, decoder: DecoderSpec) -> None:
    """Raises ValueError for boxes (n, 4) of a whole image that are plainly in the other unit."""
    units = choice(spec, "box_units", UNITS, decoder.box_units)
    finite = boxes[np.isfinite(boxes)]
    largest, side = float(np.abs(finite).max(initial=0.0)), min(input_size(spec))
    if units == "relative" and largest > max(4.0, side / 4):
        raise ValueError(
            f"output {name} has boxes up to {largest:.3g}, expected 0 to 1: "
            "set options.box_units: pixels"
        )
    if units == "pixels" and len(boxes) >= 64 and 0 < largest <= 2 < side / 8:
        raise ValueError(
            f"output {name} has boxes up to {largest:.3g}, expected pixels of {side}: "
            "set options.box_units: relative"
        )
    if units == "pixels" and decoder.nms and len(boxes) >= 64 and 0 < largest < side / 8:
        raise ValueError(
            f"output {name} has boxes up to {largest:.3g}, expected pixels of {side}: "
            "export the model with its boxes decoded"
        )


def check_labels(
    name: str, labels: NDArray[np.int32], scores: NDArray[Any], spec: ModelSpec
) -> None:
    """Raises ValueError for a label, of what scores at all, that no class has."""
    real = labels[scores > SLACK]
    count, offset = len(spec.classes), spec.task_options.get("class_offset", 0)
    wrong = real[(real < 0) | (real >= count)]
    if len(wrong):
        seen = int(wrong[0]) + int(float(str(offset)))
        raise ValueError(
            f"output {name} has label {seen}, model.yaml names {count} classes: "
            "set options.class_offset to the label of the first one"
        )
