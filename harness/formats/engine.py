"""The interface of a loaded model. The same rule for every runtime:

`feed` (copy into the runtime's input buffer) and `fetch` (read its output buffers) are outside
the timed region, `invoke` (the runtime's own call, on bound buffers) is all that is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Protocol, Tuple

import numpy as np

from ..records import ModelSpec, OpenTensor

#: inputs, outputs and metadata of a file
Inspected = Tuple[Tuple[OpenTensor, ...], Tuple[OpenTensor, ...], Dict[str, str]]


@dataclass(frozen=True)
class RuntimeOptions:
    """How to set up a runtime; `source` is the model's folder."""

    threads: int
    precision: str
    source: Path


class Engine(Protocol):
    """A loaded model with bound inputs and outputs."""

    def feed(self, tensor: np.ndarray) -> None:
        """Copy a contiguous float32 array of the input's shape into the bound input."""

    def invoke(self) -> Any:
        """Run the model once on the fed input; the return value is unspecified."""

    def fetch(self) -> Dict[str, np.ndarray]:
        """The outputs of the last invoke by the model's names; may be views.

        Floats of any width; labels and counts as integers.
        """


def check_count(found: int, model: ModelSpec) -> None:
    """Raises ValueError if a converted model has a different number of outputs.

    Names go by position there: one that the converter left out would shift all that follow.
    """
    if found != len(model.outputs):
        names = ", ".join(model.outputs)
        raise ValueError(f"the converted model has {found} outputs, expected {names} (model.yaml)")
