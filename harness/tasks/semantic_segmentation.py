"""Semantic segmentation: a class for every pixel of the image. Numpy only.

The model's first output is a score for each class and pixel, (1, C, h, w) or (1, h, w, C), or the
label of each pixel, (1, h, w) or (1, 1, h, w), over the whole input at any resolution. Scores are
interpolated to the image's resolution before the best is chosen. A model of one class has logits
(probabilities with `activation: none`). `task_options`: `class_offset`, the label of the first
class; a label that no class has is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from . import inputs, rle
from .decoders.boxes import labels_of
from .decoders.shapes import Match, match, shape_of
from .decoders.spec import Output
from .detections import Detections
from .detections import pack as pack
from .letterbox import AxisTable, Geometry, axis_table
from .options import choice, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = "miou"
IMAGES = True
OPTIONS: tuple[str, ...] = (*inputs.OPTIONS, "class_offset", "activation")
SHAPES = Output(
    "pixels",
    ("1, C, h, w", "1, h, w, C", "1, h, w", "1, 1, h, w"),
    hint="scores of every class of model.yaml, or labels",
)
NOTHING = -1


def preprocess(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """The image as `inputs` says, stretched unless the model's `fit` is another."""
    return inputs.prepare(image, spec, out, fit="stretch", values="imagenet")


def matched(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> Match:
    """Which of the shapes the first output has."""
    name = spec.outputs[0]
    return match((SHAPES,), ((name, shape_of(outputs[name])),), len(spec.classes))


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError for another shape, labels of which none is a class, odd logits."""
    name, count = spec.outputs[0], len(spec.classes)
    if matched(outputs, spec).forms[name] < 2:
        if count == 1 and "activation" not in spec.task_options:
            check_logits(name, outputs[name])
        return
    labels = labels_of(outputs[name], number(spec, "class_offset"))
    known = "class_offset" in spec.task_options  # an image may show nothing
    if labels.size and not known and not ((labels >= 0) & (labels < count)).any():
        raise ValueError(
            f"output {name} has label {outputs[name].flat[0]:g}, model.yaml names {count} classes: "
            "set options.class_offset to the label of the first one"
        )


def check_logits(name: str, values: NDArray[np.float32]) -> None:
    """Raises ValueError for real numbers that look like probabilities: all would be above 0."""
    if values.dtype.kind == "f" and values.size and values.min() >= 0 and 0 < values.max() <= 1:
        raise ValueError(
            f"output {name} ranges from {values.min():.3g} to {values.max():.3g}, expected logits: "
            "set options.activation: none for probabilities, else sigmoid"
        )


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """The pixels of each class as one mask, whose score is its share of the image.

    Every class that has a pixel is there, whatever the threshold; each box is the whole image.
    """
    labels = label_map(outputs, geometry, spec)
    counts = np.bincount(labels[labels >= 0].ravel(), minlength=len(spec.classes))
    present = np.flatnonzero(counts)
    order = present[np.argsort(-counts[present], kind="stable")].astype(np.int32)
    size = (geometry.height, geometry.width)
    masks = tuple(rle.encode(labels == label, size) for label in order.tolist())
    whole = np.array([(0, 0, geometry.width, geometry.height)], np.float32)
    shares = (counts[order] / labels.size).astype(np.float32)
    return Detections(whole.repeat(len(order), 0), shares, order, masks)


def label_map(
    outputs: Mapping[str, NDArray[np.float32]], geometry: Geometry, spec: ModelSpec
) -> NDArray[np.int32]:
    """The class of each pixel (H, W) of the original image, or NOTHING."""
    name = spec.outputs[0]
    form, values = matched(outputs, spec).forms[name], outputs[name]
    if form >= 2:
        return labels_at(values.reshape(values.shape[-2:]), geometry, spec)
    planes = values[0] if form == 0 else np.moveaxis(values[0], -1, 0)
    return best_at(planes.astype(np.float32, copy=False), geometry, spec)


def labels_at(
    values: NDArray[np.float32], geometry: Geometry, spec: ModelSpec
) -> NDArray[np.int32]:
    """Labels (h, w) at the nearest place of each pixel."""
    labels = labels_of(values, number(spec, "class_offset"))
    labels[labels >= len(spec.classes)] = NOTHING
    rows, columns = (
        np.where(after > 0.5, high, low)
        for low, high, after in tables(values.shape, geometry, spec)
    )
    return np.asarray(labels[rows][:, columns], np.int32)


def best_at(planes: NDArray[np.float32], geometry: Geometry, spec: ModelSpec) -> NDArray[np.int32]:
    """The best of the interpolated planes (C, h, w) at each pixel; one class at a time."""
    rows, columns = tables(planes.shape[1:], geometry, spec)
    if len(planes) == 1:
        least = 0.5 if choice(spec, "activation", ("sigmoid", "none"), "sigmoid") == "none" else 0.0
        return np.where(interpolated(planes[0], rows, columns) > least, 0, NOTHING).astype(np.int32)
    best = interpolated(planes[0], rows, columns)
    labels = np.zeros(best.shape, np.int32)
    for label in range(1, len(planes)):
        plane = interpolated(planes[label], rows, columns)
        better = plane > best
        labels[better] = label
        np.maximum(best, plane, out=best)
    return labels


def tables(
    shape: tuple[int, ...], geometry: Geometry, spec: ModelSpec
) -> tuple[AxisTable, AxisTable]:
    """Neighbours in an output (h, w) over the whole input, of each row and column of the image."""
    sides = zip(
        shape,
        spec.input.size,
        (geometry.height, geometry.width),
        (geometry.scale_y, geometry.scale_x),
        (geometry.top, geometry.left),
    )
    rows, columns = (
        axis_table(cells, length, side / (cells * scale), offset / scale)
        for cells, side, length, scale, offset in sides
    )
    return rows, columns


def interpolated(
    plane: NDArray[np.float32], rows: AxisTable, columns: AxisTable
) -> NDArray[np.float32]:
    """Bilinear samples (H, W) of a plane (h, w)."""
    top, bottom, down = rows
    left, right, across = columns
    tall = plane[top] * (1 - down[:, None]) + plane[bottom] * down[:, None]
    return np.asarray(tall[:, left] * (1 - across) + tall[:, right] * across)
