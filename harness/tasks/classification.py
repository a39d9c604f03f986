"""Image classification: shorter side resized, centre cropped; softmax and the best k. Numpy only.

The model's first output is logits or probabilities, one for each class. `task_options`: `top_k`;
`background`, `first` or `last`, where the output has one more for what is none of the classes;
`activation`, `softmax`, `sigmoid` or `none`, where its values do not tell; and those of `inputs`,
whose defaults here are `fit: crop` and `range: imagenet`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from . import inputs
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry
from .options import choice, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = "topk"
IMAGES = True
OPTIONS: tuple[str, ...] = (*inputs.OPTIONS, "top_k", "background", "activation")


def preprocess(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Resize, crop and normalise `image` (H, W, 3) uint8 RGB: (1, 3, h, w) float32."""
    return inputs.prepare(image, spec, out, fit="crop", values="imagenet")


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError for another number of classes: each label would be another class."""
    name, classes = spec.outputs[0], len(spec.classes)
    more = background(spec) != "none"
    size = int(outputs[name].size)
    if size == classes + more:
        return
    hint = (
        "; if the first is the background, set options.background: first"
        if size == classes + 1 and not more
        else ""
    )
    extra = " and the background" if more else ""
    raise ValueError(
        f"output {name} has {size} values, expected {classes}{extra} (model.yaml){hint}"
    )


def background(spec: ModelSpec) -> str:
    """Where the value of what is none of the classes stands."""
    return choice(spec, "background", ("none", "first", "last"), "none")


def probabilities(values: NDArray[np.float64], how: str = "auto") -> NDArray[np.float32]:
    """Softmax of logits (C,); what is a distribution already, if a rounded one, stays as it is."""
    if how == "auto":
        rounded = ((values >= 0) & (values <= 1.01)).all() and 0.5 < values.sum() < 1.5
        how = "none" if rounded else "softmax"
    if how == "none":
        return values.astype(np.float32)
    if how == "sigmoid":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-values)), np.float32)
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum(), np.float32)


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """The `top_k` classes and their probabilities, however small; each box is the whole image."""
    values = outputs[spec.outputs[0]].reshape(-1).astype(np.float64)
    how = choice(spec, "activation", ("auto", "softmax", "sigmoid", "none"), "auto")
    chances, extra = probabilities(values, how), background(spec)
    chances = chances[1:] if extra == "first" else chances[:-1] if extra == "last" else chances
    best = np.argsort(-chances, kind="stable")[: max(1, int(number(spec, "top_k")))]
    best = best[np.isfinite(chances[best])]
    whole = np.array([(0, 0, geometry.width, geometry.height)], np.float32)
    return Detections(whole.repeat(len(best), 0), chances[best], best.astype(np.int32))
