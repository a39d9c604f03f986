"""The interface of a loaded model. The same rule for every runtime:

`feed` (copy into the runtime's input buffers) and `fetch` (read its output buffers) are outside
the timed region, `invoke` (the runtime's own call, on bound buffers) is all that is inside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy as np

from ..records import Layout, ModelSpec, Quantisation, TensorSpec

#: one array for each input, in the model's order
Arrays = Sequence[np.ndarray]

#: where each dimension of a layout is in the other one
TURNED: Dict[Layout, Tuple[int, ...]] = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 3, 1, 2)}


@dataclass(frozen=True)
class RuntimeOptions:
    """How to set up a runtime; `source` is the model's folder."""

    threads: int
    precision: str
    source: Path


class Engine(Protocol):
    """A loaded model with bound inputs and outputs."""

    @property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """What `feed` takes, in the model's order, as the runtime declares it."""

    @property
    def unbound(self) -> Tuple[str, ...]:
        """Outputs that the runtime allocates in each run: their shape is known only then."""

    def feed(self, tensors: Arrays) -> None:
        """Copy contiguous arrays of the shapes and types in `inputs` into the bound inputs."""

    def invoke(self) -> Any:
        """Run the model once on the fed inputs; the return value is unspecified."""

    def fetch(self) -> Dict[str, np.ndarray]:
        """The outputs of the last invoke by the model's names; may be views.

        Floats of any width, also of quantised outputs; labels and counts as integers.
        """


def check_count(found: int, model: ModelSpec) -> None:
    """Raises ValueError if a converted model has a different number of outputs.

    Names go by position there: one that the converter left out would shift all that follow.
    """
    if found != len(model.outputs):
        names = ", ".join(model.outputs)
        raise ValueError(f"the converted model has {found} outputs, expected {names} (model.yaml)")


def positions(names: Sequence[str], found: Sequence[str], what: str = "inputs") -> List[int]:
    """Where each of the model's tensors is among those of a file: by name, or by position.

    A converter may rename all of them; it keeps their order. Outputs that nobody asks for may be
    left out. Raises ValueError if neither works.
    """
    surplus = len(found) - len(set(names))
    if set(names) <= set(found) and (surplus == 0 or what == "outputs"):
        return [list(found).index(name) for name in names]
    if len(names) != len(found) or set(names) & set(found):
        raise ValueError(
            f"the file has the {what} {', '.join(found)}, expected {', '.join(names)} (model.yaml)"
        )
    return list(range(len(names)))


def declared(
    spec: TensorSpec,
    shape: Sequence[Any],
    dtype: str,
    quantisation: Optional[Quantisation] = None,
) -> TensorSpec:
    """The model's input as a runtime declares it; a side that is no positive number is open.

    A converter may have turned it to the other layout. Raises ValueError for another shape.
    """
    there = replace(spec, dtype=dtype, quantisation=quantisation)
    if fits(spec.shape, shape):
        return there
    if len(spec.shape) == 4:
        other: Layout = "NCHW" if spec.layout == "NHWC" else "NHWC"
        turned = tuple(spec.shape[at] for at in TURNED[other])
        if fits(turned, shape):
            return replace(there, shape=turned, layout=other)
    sides = ", ".join(str(side) if _is_fixed(side) else "?" for side in shape)
    raise ValueError(
        f"input {spec.name} has shape ({sides}) in the file, expected {spec.shape} (model.yaml)"
    )


def fits(wanted: Sequence[int], shape: Sequence[Any]) -> bool:
    """Whether a declared shape, with its open sides, can be `wanted`."""
    pairs = zip(wanted, shape)
    return len(wanted) == len(shape) and all(not _is_fixed(b) or a == b for a, b in pairs)


def _is_fixed(side: Any) -> bool:
    """Runtimes write an open side as a name, None, 0 or -1."""
    return isinstance(side, (int, np.integer)) and bool(side > 0)
