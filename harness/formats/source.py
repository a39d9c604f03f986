"""The model's source: the PyTorch module that every conversion starts from."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence, Tuple, cast

from ..records import ModelSpec
from . import checkpoint

if TYPE_CHECKING:
    import torch

MODULE = "bench_model_source"


def build(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The architecture without weights, in eval mode; `folder` is the model's.

    The file may import its neighbours, as `blocks` or `.blocks`.
    """
    path = folder / model.module
    here = str(path.parent)
    spec = importlib.util.spec_from_file_location(
        MODULE, str(path), submodule_search_locations=[here]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    for place in (here, str(folder)):
        if place not in sys.path:
            sys.path.append(place)  # last, so that no file of a model takes a library's name
    sys.modules[MODULE] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    function = getattr(module, model.function, None)
    if function is None:
        raise ImportError(f"{model.module} has no function {model.function}() (see model.yaml)")
    network = function()
    if not hasattr(network, "state_dict"):
        raise TypeError(f"{model.function}() returns a {type(network).__name__}, not a module")
    return cast("torch.nn.Module", network.eval())


def load(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The fp32 reference with its weights; raises if a weight is missing or has a wrong shape."""
    return with_weights(build(model, folder), folder / model.weights, model.function)


def with_weights(network: "torch.nn.Module", path: Path, function: str) -> "torch.nn.Module":
    """The network that `function` built, in fp32, with the weights of a checkpoint."""
    wanted = network.state_dict()
    state = checkpoint.fitted(checkpoint.read(path), wanted, path.name)
    wrong = checkpoint.mistakes(state, wanted)
    if wrong:
        raise ValueError(f"{path.name} does not fit {function}(): {'; '.join(wrong)}")
    network.load_state_dict(state)
    return network.float().eval()


def examples(model: ModelSpec) -> Tuple["torch.Tensor", ...]:
    """Fixed inputs of the model's shapes, for tracing only; integers are 0."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.rand(one.shape, generator=generator).to(getattr(torch, one.dtype))
        for one in model.inputs
    )


def traceable(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The network with its weights, returning a tensor or a plain tuple in `model.outputs`' order.

    Tracers and exporters do not support the dicts, named tuples and dataclasses that some return.
    """
    import torch

    network = load(model, folder)
    with torch.no_grad():
        seen = network(*examples(model))
    named(seen, model)  # here, so that what does not fit is told before a tracer trips over it
    if isinstance(seen, torch.Tensor) or type(seen) in (tuple, list):
        return network

    class Named(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Any, *more: Any) -> Any:
            return tuple(named(self.network(x, *more), model))

    return Named().eval()


def named(outputs: Any, model: ModelSpec) -> Sequence[Any]:
    """The module's outputs in the order of `model.outputs`, by name if it has names.

    Raises ValueError if their number differs from the number of names.
    """
    found = _in_order(outputs, model)
    for name, value in zip(model.outputs, found):
        if value is None or isinstance(value, (Mapping, tuple, list)):
            raise ValueError(
                f"output {name} is a {type(value).__name__}, not a tensor: "
                "return one tensor per output from forward()"
            )
    return found


def _in_order(outputs: Any, model: ModelSpec) -> Sequence[Any]:
    values = _by_name(outputs)
    if values is not None and set(model.outputs) <= set(values):
        return [values[name] for name in model.outputs]
    if isinstance(outputs, Mapping):
        raise ValueError(
            f"the model returns a dict with {', '.join(map(str, outputs))}, expected "
            f"{', '.join(model.outputs)} (model.yaml)"
        )
    if values is not None:
        outputs = list(values.values())
    found = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if len(found) != len(model.outputs):
        raise ValueError(
            f"the model returns {len(found)} outputs, expected {len(model.outputs)} (model.yaml)"
        )
    return found


def _by_name(outputs: Any) -> Any:
    """Name -> value of a dict, named tuple or dataclass; None for anything else."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if dataclasses.is_dataclass(outputs):
        names = [field.name for field in dataclasses.fields(outputs)]
        return {name: getattr(outputs, name) for name in names}
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return dict(zip(outputs._fields, outputs))
    return None
