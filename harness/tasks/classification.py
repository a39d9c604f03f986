"""Image classification: shorter side resized, centre cropped; softmax and the best k. Numpy only.

The model's first output is logits (1, C). `task_options`: `resize` (pixels of the shorter side
before the crop, default S * 8 / 7 as ImageNet's 256 for 224), `top_k`, `normalise`: `imagenet`
(default) or `none`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry, axis_table, sample
from .options import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUTS: tuple[str, ...] = ()
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training pictures, RGB in 0..1, as torchvision normalises."""


def preprocess(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Resize, crop and normalise `image` (H, W, 3) uint8 RGB: (1, 3, S, S) float32."""
    side, (height, width) = spec.input.shape[-1], image.shape[:2]
    scale = (number(spec, "resize") or round(side * 8 / 7)) / min(height, width)
    left, top = (width * scale - side) / 2, (height * scale - side) / 2
    tensor = np.empty((1, 3, side, side), np.float32) if out is None else out
    rows = axis_table(height, side, scale, top)
    columns = axis_table(width, side, scale, left)
    sample(image, rows, columns, tensor[0])
    if spec.task_options.get("normalise", "imagenet") == "imagenet":
        tensor -= np.array(MEAN, np.float32)[:, None, None]
        tensor /= np.array(STD, np.float32)[:, None, None]
    return tensor, Geometry(height, width, scale, scale, -left, -top)


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """The `top_k` classes and their probabilities; each box is the whole picture."""
    logits = outputs[spec.outputs[0]].reshape(-1).astype(np.float64)
    powers = np.exp(logits - logits.max())
    chances = (powers / powers.sum()).astype(np.float32)
    best = np.argsort(-chances, kind="stable")[: int(number(spec, "top_k"))]
    best = best[chances[best] >= score_threshold]
    whole = np.array([(0, 0, geometry.width, geometry.height)], np.float32)
    return Detections(whole.repeat(len(best), 0), chances[best], best.astype(np.int32))
