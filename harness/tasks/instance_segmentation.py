"""Instance segmentation with prototype masks: `detection` and a mask for each box. Numpy only.

The model's decoder is one that finds masks: coefficients of each box, and prototypes (1, K, h, w)
over the whole input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np

from ..records import ModelSpec
from . import decoders, detection
from .detection import preprocess as preprocess
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry
from .masks import assemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = detection.METRIC
IMAGES = True
OPTIONS = detection.OPTIONS


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Raises ValueError as for detection, and for wrong shapes of coefficients and prototypes."""
    detection.check(outputs, spec)
    found = decoders.found_in(outputs, spec)
    lacking = [one.role for one in decoders.of(spec).SPEC.outputs if one.role not in found]
    if lacking:
        raise ValueError(
            f"no output is {' or '.join(lacking)}, which masks are made of; "
            f"there are {', '.join(outputs)}"
        )


@detection.unusual
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
    assert found.coeffs is not None
    assert found.protos is not None
    masks = assemble(boxes, found.coeffs[some], found.protos, geometry, spec.input.size)
    return Detections(boxes, found.scores[some], found.labels[some], masks)
