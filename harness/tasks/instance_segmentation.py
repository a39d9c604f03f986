"""Instance segmentation with prototype masks: `detection` and a mask for each box. Numpy only.

Outputs as for detection, and `coeffs` (1, N, K), `protos` (1, K, h, w) over the whole input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from . import detection
from .detection import preprocess as preprocess
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry
from .masks import assemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = detection.METRIC
OUTPUTS: tuple[str, ...] = (*detection.OUTPUTS, "coeffs", "protos")


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError as for detection, and for wrong shapes of coefficients and prototypes."""
    detection.check(outputs, spec)
    protos, locations = outputs["protos"], outputs["boxes"].shape[1]
    if protos.ndim != 4 or protos.shape[0] != 1:
        raise ValueError(f"output protos has shape {protos.shape}, expected (1, K, h, w)")
    wanted = (1, locations, protos.shape[1])
    if outputs["coeffs"].shape != wanted:
        raise ValueError(f"output coeffs has shape {outputs['coeffs'].shape}, expected {wanted}")


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """Detections with masks of one image from a model's raw outputs (batch axis 1)."""
    found = detection.select(outputs, spec, score_threshold)
    boxes = geometry.to_original(found.boxes)
    some = detection.visible(boxes)
    boxes = boxes[some]
    coeffs = outputs["coeffs"][0][found.locations[some]].astype(np.float32)
    protos = outputs["protos"][0].astype(np.float32, copy=False)
    masks = assemble(boxes, coeffs, protos, geometry, spec.input.shape[-2:])
    return Detections(boxes, found.scores[some], found.labels[some], masks)
