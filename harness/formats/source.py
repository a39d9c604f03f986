"""The model as its author wrote it: the PyTorch module that every conversion starts from.

Checkpoints are taken as trainers write them: saved on a GPU, wrapped with an epoch and a learning
rate, with `module.` before each name. What is done about it is printed, so the job's log has it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence

from ..records import ModelSpec

if TYPE_CHECKING:
    import torch

MODULE = "bench_model_source"
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
#: under which of its keys a training checkpoint has the weights, likeliest first
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "ema")
#: what wrappers of a module put before each name
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
#: buffers that profilers leave in a module, and nothing computes with
LEFT_OVER = ("total_ops", "total_params")
SHOWN = 3


def build(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The architecture without weights, in eval mode; `folder` is the model's own.

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
    network: "torch.nn.Module" = getattr(module, model.function)()
    return network.eval()


def load(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The fp32 reference with its weights; raises if a weight is missing or has another shape."""
    return with_weights(build(model, folder), folder / model.weights, model.function)


def with_weights(network: "torch.nn.Module", path: Path, function: str) -> "torch.nn.Module":
    """The network that `function` built, in fp32, with the weights of a checkpoint."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f"{path.name} cannot be read by torch.load(weights_only=True): "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    state = fitted(content, network.state_dict(), path.name)
    wrong = mistakes(state, network.state_dict())
    if wrong:
        raise ValueError(f"{path.name} does not fit {function}(): {'; '.join(wrong)}")
    network.load_state_dict(state)
    return network.float().eval()


def fitted(content: Any, wanted: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """The tensors of a checkpoint under the network's own names; raises ValueError for none."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} has a {type(content).__name__}, not a state dict")
    state = _unwrapped(content, wanted, name)
    for prefix in PREFIXES:
        if state and not set(state) & set(wanted) and all(k.startswith(prefix) for k in state):
            print(f"{name}: left out '{prefix}' before each name")
            state = {key[len(prefix) :]: value for key, value in state.items()}
    left = [key for key in state if key not in wanted and key.rpartition(".")[2] in LEFT_OVER]
    if left:
        print(f"{name}: left out {len(left)} counters of a profiler")
    return {key: value for key, value in state.items() if key not in left}


def _unwrapped(content: Mapping[Any, Any], wanted: Mapping[str, Any], name: str) -> Dict[str, Any]:
    if any(key in wanted for key in content) or _is_state(content):
        return {str(key): value for key, value in content.items()}
    for wrapper in WRAPPERS:
        inside = content.get(wrapper)
        if isinstance(inside, Mapping) and _is_state(inside):
            print(f"{name}: a checkpoint with {_few(list(content))}; took '{wrapper}'")
            return {str(key): value for key, value in inside.items()}
    raise ValueError(
        f"{name} is a checkpoint with {_few(list(content))}: save the state dict alone, "
        "torch.save(model.state_dict(), path)"
    )


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(hasattr(value, "shape") for value in content.values())


def mistakes(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> List[str]:
    """What keeps the tensors from being the network's, the first few of each kind."""
    missing = [key for key in wanted if key not in state]
    surplus = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {tuple(state[key].shape)} and should be {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and tuple(state[key].shape) != tuple(wanted[key].shape)
    ]
    found = [
        ("it also has", surplus),
        ("it lacks", missing),
        ("another shape:", shapes),
    ]
    return [f"{what} {_few(names)}" for what, names in found if names]


def _few(names: Sequence[Any]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(map(str, names[:SHOWN])) or "nothing in it") + more


def example(model: ModelSpec) -> "torch.Tensor":
    """A fixed input of the model's shape, for tracing only; nothing is measured on it."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand(model.input.shape, generator=generator)


def traceable(model: ModelSpec, folder: Path) -> "torch.nn.Module":
    """The network with its weights, returning a tensor or a plain tuple in `model.outputs`' order.

    Tracers and exporters do not take the dicts, named tuples and dataclasses that some return.
    """
    import torch

    network = load(model, folder)
    with torch.no_grad():
        seen = network(example(model))
    if isinstance(seen, torch.Tensor) or type(seen) in (tuple, list):
        return network

    class Named(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Any) -> Any:
            return tuple(named(self.network(x), model))

    return Named().eval()


def named(outputs: Any, model: ModelSpec) -> Any:
    """The module's outputs in the order of `model.outputs`, by name where it gives names."""
    values = _by_name(outputs)
    if values is not None and set(model.outputs) <= set(values):
        return [values[name] for name in model.outputs]
    if isinstance(outputs, Mapping):
        raise ValueError(
            f"the model returns a dict with {', '.join(map(str, outputs))}, "
            f"model.yaml names {', '.join(model.outputs)}"
        )
    if values is not None:
        outputs = list(values.values())
    found = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if len(found) != len(model.outputs):
        raise ValueError(
            f"the model returns {len(found)} tensors, model.yaml names {len(model.outputs)}"
        )
    return found


def _by_name(outputs: Any) -> Any:
    """Name -> value of a dict, named tuple or dataclass; None for what has no names."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if dataclasses.is_dataclass(outputs):
        names = [field.name for field in dataclasses.fields(outputs)]
        return {name: getattr(outputs, name) for name in names}
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return dict(zip(outputs._fields, outputs))
    return None
