"""The model as its author wrote it: the PyTorch module that every conversion starts from."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records import ModelSpec

if TYPE_CHECKING:
    import torch

#: what torch.load raises for a file that is no state dict, or a damaged one
UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def build(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The architecture without weights, in eval mode; `folder` is the model's own."""
    path = folder / model.module
    spec = importlib.util.spec_from_file_location("bench_model_source", str(path))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: "torch.nn.Module" = getattr(module, model.function)()
    return network.eval()


def load(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The fp32 reference with its weights; raises if a weight is missing or has another shape."""
    import torch

    network = build(model, folder)
    try:
        state = torch.load(folder / model.weights, weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f"{model.weights} cannot be read by torch.load(weights_only=True): "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        what = " ".join(str(error).split())[:300]
        raise ValueError(f"{model.weights} does not fit {model.function}(): {what}") from error
    return network.float().eval()


def example(model: ModelSpec) -> "torch.Tensor":
    """A fixed input of the model's shape, for tracing only; nothing is measured on it."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand(model.input.shape, generator=generator)


def named(outputs: Any, model: ModelSpec) -> Any:
    """The module's outputs as a tuple in the order of `model.outputs`."""
    values = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if len(values) != len(model.outputs):
        raise ValueError(
            f"the model returns {len(values)} tensors, model.yaml names {len(model.outputs)}"
        )
    return values
