"""What a decoder says of itself, what it reads and what it returns. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Protocol, Tuple

import numpy as np

from ...records import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .shapes import Found


@dataclass(frozen=True)
class Output:
    """One tensor that a decoder reads."""

    #: what it holds; an output of this name is taken for it
    role: str
    #: the shapes that it may have, `1, N, 5+C`: a letter is the same number in all outputs, and C
    #: is the number of classes
    shapes: Tuple[str, ...]
    #: a regular expression: an output whose name has it may be this one
    named: str = ""
    #: what an error says after the shape that was expected
    hint: str = ""
    needed: bool = True
    #: several outputs have this role
    many: bool = False


@dataclass(frozen=True)
class DecoderSpec:
    """What the rest of bench knows of a decoder: the table in the documentation, and proposals."""

    #: the models that have such outputs
    about: str
    outputs: Tuple[Output, ...]
    #: what it finds beside boxes: `masks`, `keypoints`
    finds: Tuple[str, ...] = ()
    #: how a box is written and in what, unless the model's options say otherwise
    box_order: str = "xyxy"
    box_units: str = "pixels"
    #: whether several boxes may show one object, so that bench applies NMS
    nms: bool = True
    #: options that it reads beside `box_order` and `box_units`
    options: Tuple[str, ...] = ()
    #: those of them that a model must set
    needs: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """What a model found before NMS, one row for each class of a location, in no stated order.

    `boxes` (n, 4) xyxy and `keypoints` (n, K, 3) x, y, score are in pixels of the input; a mask is
    sigmoid(`coeffs` (n, M) @ `protos` (M, h, w)).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    coeffs: Optional[NDArray[np.float32]] = None
    protos: Optional[NDArray[np.float32]] = None
    keypoints: Optional[NDArray[np.float32]] = None

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[np.intp]) -> Decoded:
        """Only these rows, in this order."""
        return Decoded(
            self.boxes[rows],
            self.scores[rows],
            self.labels[rows],
            None if self.coeffs is None else self.coeffs[rows],
            self.protos,
            None if self.keypoints is None else self.keypoints[rows],
        )


class Decoder(Protocol):
    """A module of this folder."""

    SPEC: DecoderSpec

    def check(self, found: Found, spec: ModelSpec) -> None:
        """Raises ValueError for values, of outputs whose shapes fit, that mean something else."""
        ...

    def decode(self, found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
        """All that scores at least the threshold; what is not finite is left out later."""
        ...
