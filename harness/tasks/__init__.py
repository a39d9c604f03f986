"""What a model's tensors mean: images in, predictions out, the same for every format and device.
Those of a model of `tensor` have no meaning here.

Runs where the model runs: numpy only, Python 3.8. A task is a module that satisfies `Task`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Final, Iterable, Mapping, Protocol

from ..records import ModelSpec
from . import (
    classification,
    decoders,
    detection,
    instance_segmentation,
    keypoints,
    semantic_segmentation,
    tensor,
)
from .detections import Detections, Row, unpack
from .letterbox import Geometry
from .options import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "REGISTRY",
    "Detections",
    "Geometry",
    "Task",
    "number",
    "options_of",
    "takes_images",
    "unpack",
]


class Task(Protocol):
    """Pre- and postprocessing: a module with these functions and the outputs it reads."""

    #: name of the metric that scores it, see harness/metrics; empty: none does
    METRIC: str
    #: whether its samples are images; else they are tensors, one for each input
    IMAGES: bool
    #: options of a model that it reads beside its decoder's
    OPTIONS: tuple[str, ...]

    @property
    def preprocess(self) -> Callable[[Any, ModelSpec], tuple[Any, Geometry]]:
        """A sample (an image (H, W, 3) uint8 RGB) -> the input, and the inverse mapping.

        The input of an image is (1, 3, h, w) float32 in the model's range.
        """
        ...

    def check(self, outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> None:
        """Raises ValueError for raw outputs that `postprocess` cannot interpret."""
        ...

    def postprocess(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        geometry: Geometry,
        spec: ModelSpec,
        *,
        score_threshold: float,
    ) -> Detections:
        """Raw outputs of one image (batch axis 1) -> predictions in pixels of the original."""
        ...

    def pack(self, rows: Iterable[Row]) -> dict[str, NDArray[Any]]:
        """Predictions of many images -> the arrays of `predictions.npz`."""
        ...


REGISTRY: Final[dict[str, Task]] = {
    "classification": classification,
    "detection": detection,
    "instance-segmentation": instance_segmentation,
    "keypoints": keypoints,
    "semantic-segmentation": semantic_segmentation,
    "tensor": tensor,
}


def takes_images(task: str) -> bool:
    """Whether the samples of a task's models are images, and not tensors."""
    return REGISTRY[task].IMAGES


def options_of(spec: ModelSpec) -> tuple[str, ...]:
    """The options that a model of this task and decoder may have."""
    return (*REGISTRY[spec.task].OPTIONS, *decoders.options_of(spec))
