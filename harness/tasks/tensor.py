"""Models of anything but images: tensors in, tensors out. Numpy only.

Samples are arrays as the inputs take them; nothing is known of what the outputs mean, so they are
compared with the reference's, and not scored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Tuple

import numpy as np

from ..records import ModelSpec
from .detections import Detections
from .detections import pack as pack
from .letterbox import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: nothing scores it
METRIC = ""
IMAGES = False
OPTIONS: tuple[str, ...] = ()
NOWHERE = Geometry(1, 1, 1.0, 1.0, 0.0, 0.0)


def preprocess(
    sample: Tuple[NDArray[np.generic], ...], spec: ModelSpec, out: None = None
) -> tuple[Tuple[NDArray[np.generic], ...], Geometry]:
    """The sample as it is: one array for each input."""
    return sample, NOWHERE


def check(outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
    """Outputs may be anything."""


def postprocess(
    outputs: Mapping[str, NDArray[np.float32]],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    score_threshold: float,
) -> Detections:
    """Outputs mean nothing here: none."""
    nothing = np.zeros(0, np.float32)
    return Detections(nothing.reshape(0, 4), nothing, nothing.astype(np.int32))
