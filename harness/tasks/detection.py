"""Object detection: letterboxed input, decoded boxes and class scores out, NMS here. Numpy only.

What the model's outputs mean is its decoder's to say, see `decoders/`. `task_options`:
`max_detections`, `nms_iou`, `score_threshold`, `accuracy_score_threshold`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from . import decoders, inputs
from .decoders import Decoded
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry
from .nms import nms
from .options import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = "coco-map"
IMAGES = True
OPTIONS: tuple[str, ...] = (*inputs.OPTIONS, "max_detections", "nms_iou")


def preprocess(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """`image` (H, W, 3) uint8 RGB as `inputs` says: letterboxed, RGB in 0..1 unless told so."""
    return inputs.prepare(image, spec, out)


#: what is no number, or grows into none, is no detection
unusual = np.errstate(over="ignore", invalid="ignore")


@unusual
def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError for shapes and values that the model's decoder cannot mean."""
    decoders.of(spec).check(decoders.found_in(outputs, spec), spec)


@unusual
def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """Detections of one image from a model's raw outputs (batch axis 1)."""
    found = select(outputs, spec, score_threshold)
    boxes = geometry.to_original(found.boxes)
    some = visible(boxes)
    return Detections(boxes[some], found.scores[some], found.labels[some])


def select(
    outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec, score_threshold: float
) -> Decoded:
    """What the decoder finds, filtered by score first of all, after NMS where it needs one."""
    decoder, limit = decoders.of(spec), int(number(spec, "max_detections"))
    found = decoder.decode(decoders.found_in(outputs, spec), spec, score_threshold)
    finite = np.isfinite(found.boxes).all(axis=1) & (found.labels >= 0)
    finite &= np.isfinite(found.scores) & (found.labels < len(spec.classes))
    if not finite.all():
        found = found.take(np.flatnonzero(finite))
    if not decoder.SPEC.nms:
        return found.take(np.argsort(-found.scores, kind="stable")[:limit])
    overlap = number(spec, "nms_iou")
    keep = nms(found.boxes, found.scores, found.labels, iou_threshold=overlap, limit=limit)
    return found.take(keep)


def visible(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes (n, 4) xyxy have any area left inside the image."""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
