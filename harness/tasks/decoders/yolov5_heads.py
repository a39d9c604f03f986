"""YOLOv5, v7 without their last layer: raw heads, to which anchors and grid are applied here.

xy = (2 sigmoid(t) - 0.5 + cell) stride, wh = (2 sigmoid(t))^2 anchor, as YOLOv5's own code says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Tuple

import numpy as np

from ...records import ModelSpec
from ..options import levels, positive
from .boxes import corners_of, input_size, passing, sigmoid
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEC = DecoderSpec(
    about="YOLOv5, v7 without their last layer",
    outputs=(
        Output(
            "heads",
            ("1, A, _, _, 5+C", "1, _, _, _"),
            hint="box, objectness and class scores of A anchors at each cell",
            many=True,
        ),
    ),
    box_order="cxcywh",
    options=("anchors", "strides"),
    needs=("anchors", "strides"),
)


def heads_of(found: Found, spec: ModelSpec) -> List[Tuple[NDArray[Any], float, List[float]]]:
    """Each head as (A, H, W, 5+C) with its stride and anchors (w, h, w, h, …), in pixels.

    A head belongs to the stride that its size says. Raises ValueError where one has none.
    """
    size, sides = input_size(spec), 5 + len(spec.classes)
    strides, anchors = positive(spec, "strides"), levels(spec, "anchors", "strides")
    by_size = {(-(-size[0] // int(s)), -(-size[1] // int(s))): n for n, s in enumerate(strides)}
    heads = []
    for name in found.match.roles["heads"]:
        value = found.by_name(name)
        raw = value[0] if value.ndim == 5 else unfolded(value, sides)
        level = by_size.get(raw.shape[1:3], -1)
        if level < 0 or raw.shape[0] * 2 != len(anchors[level]) or raw.shape[3] != sides:
            raise ValueError(
                f"output {name} has shape {value.shape}, expected one of "
                f"{', '.join(expected(by_size, anchors, sides, value.ndim))}"
            )
        heads.append((raw, strides[level], anchors[level]))
    if len(heads) != len(strides):
        raise ValueError(f"{len(heads)} outputs are heads, options.strides has {len(strides)}")
    return heads


def unfolded(value: NDArray[Any], sides: int) -> NDArray[Any]:
    """(1, A * sides, H, W), as the convolution leaves it -> (A, H, W, sides)."""
    _, channels, height, width = value.shape
    if channels % sides:
        return np.zeros((0, height, width, 0))
    return value.reshape(channels // sides, sides, height, width).transpose(0, 2, 3, 1)


def expected(by_size: Any, anchors: Any, sides: int, dimensions: int) -> List[str]:
    """The shapes that the options allow."""
    texts = []
    for (height, width), level in by_size.items():
        count = len(anchors[level]) // 2
        folded = (1, count * sides, height, width)
        texts.append(str((1, count, height, width, sides) if dimensions == 5 else folded))
    return texts


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for heads that fit no stride and its anchors."""
    heads_of(found, spec)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Only what passes by its objectness is computed."""
    parts = [one_head(*head, score_threshold) for head in heads_of(found, spec)]
    boxes, scores, labels = (np.concatenate(column) for column in zip(*parts))
    return Decoded(corners_of(boxes, SPEC.box_order), scores, labels)


def one_head(
    raw: NDArray[Any], stride: float, anchors: List[float], threshold: float
) -> Tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Boxes cxcywh in pixels, scores, labels of one head (A, H, W, 5+C)."""
    objectness = sigmoid(raw[..., 4])
    anchor, row, column = np.nonzero(objectness >= threshold)
    values = sigmoid(raw[anchor, row, column])
    locations, labels, best = passing(values[:, 5:] * values[:, 4:5], threshold)
    values = values[locations]
    cell = np.stack([column, row], 1)[locations].astype(np.float32)
    size = np.array(anchors, np.float32).reshape(-1, 2)[anchor[locations]]
    centre = (values[:, :2] * 2 - np.float32(0.5) + cell) * np.float32(stride)
    return np.concatenate([centre, (values[:, 2:4] * 2) ** 2 * size], 1), best, labels
