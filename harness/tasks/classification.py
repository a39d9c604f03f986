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

METRIC = "topk"
OUTPUTS: tuple[str, ...] = ()
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, RGB in 0..1, as torchvision normalises."""


def preprocess(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Resize, crop and normalise `image` (H, W, 3) uint8 RGB: (1, 3, h, w) float32."""
    (in_h, in_w), (height, width) = spec.input.shape[-2:], image.shape[:2]
    short = min(in_h, in_w)
    resized = number(spec, "resize") or round(short * 8 / 7)
    scale = resized * max(in_h / short / height, in_w / short / width)
    left, top = (width * scale - in_w) / 2, (height * scale - in_h) / 2
    tensor = np.empty((1, 3, in_h, in_w), np.float32) if out is None else out
    rows = axis_table(height, in_h, scale, top)
    columns = axis_table(width, in_w, scale, left)
    sample(image, rows, columns, tensor[0])
    if spec.task_options.get("normalise", "imagenet") == "imagenet":
        tensor -= np.array(MEAN, np.float32)[:, None, None]
        tensor /= np.array(STD, np.float32)[:, None, None]
    return tensor, Geometry(height, width, scale, scale, -left, -top)


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError for a wrong number of classes."""
    name, classes = spec.outputs[0], len(spec.classes)
    if outputs[name].size != classes:
        raise ValueError(
            f"output {name} has {outputs[name].size} values, expected {classes} (model.yaml)"
        )


def probabilities(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Softmax of logits (C,); probabilities are returned unchanged."""
    if ((values >= 0) & (values <= 1.01)).all() and 0.5 < values.sum() < 1.5:
        return values.astype(np.float32)
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum(), np.float32)


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """The `top_k` classes and their probabilities; each box is the whole image."""
    chances = probabilities(outputs[spec.outputs[0]].reshape(-1).astype(np.float64))
    best = np.argsort(-chances, kind="stable")[: max(1, int(number(spec, "top_k")))]
    sure = chances[best] >= score_threshold
    sure[:1] = True  # the best class is the best class, however improbable
    best = best[sure & np.isfinite(chances[best])]
    whole = np.array([(0, 0, geometry.width, geometry.height)], np.float32)
    return Detections(whole.repeat(len(best), 0), chances[best], best.astype(np.int32))
