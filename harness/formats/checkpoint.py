"""Reads weights as trainers write them: saved on a GPU, wrapped with an epoch, with prefixed names.

Unambiguous files are accepted, and conversions are printed to the job's log. Anything
else is an error that says what the file contains. Pickled Python objects are never loaded.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

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
WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("params", "weights", "params_ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema"),
)
#: what wrappers of a module put before each name
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
#: buffers that profilers leave in a module, and nothing computes with
LEFT_OVER = ("total_ops", "total_params")
#: batch normalisation's counter: only training reads it, and old checkpoints lack it
COUNTER = "num_batches_tracked"
ALONE = "save only the state dict: torch.save(model.state_dict(), path)"
SHOWN = 3


def read(path: Path) -> Any:
    """The file's content, on the CPU; raises ValueError for anything but tensors and plain data."""
    import torch

    with open(path, "rb") as file:
        if file.read(24) == b"version https://git-lfs.":
            raise ValueError(
                f"{path.name} is a Git LFS pointer, not the weights; run `git lfs pull`"
            )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(unreadable(path.name, error)) from error


def unreadable(name: str, error: Exception) -> str:
    """Why torch could not read a file, in one line; torch's own message is about `weights_only`."""
    said = str(error)
    if found := re.search(r"Unsupported global: GLOBAL (\S+)", said):
        return f"{name} contains Python objects ({found[1]}), which are never loaded; {ALONE}"
    if "TorchScript archive" in said:
        return f"{name} is a TorchScript archive, not a state dict; {ALONE}"
    if isinstance(error, (pickle.UnpicklingError, EOFError, LookupError)):
        return f"{name} is damaged, or not a PyTorch checkpoint ({type(error).__name__})"
    first = said.splitlines()[0] if said else ""
    return f"{name} cannot be read by torch.load: {type(error).__name__}: {first}"


def fitted(content: Any, wanted: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """The tensors of a checkpoint under the network's names; raises ValueError if none fit."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} contains a {type(content).__name__}, not a state dict")
    state = _unprefixed(_unwrapped(content, wanted, name), wanted, name)
    endings = (*LEFT_OVER, COUNTER)
    left = [key for key in state if key not in wanted and key.rpartition(".")[2] in endings]
    if left:
        print(f"{name}: ignored {len(left)} unused counters: {_few(left)}")
    counters = {key: wanted[key] for key in wanted if _is_counter(key) and key not in state}
    return {**counters, **{key: value for key, value in state.items() if key not in left}}


def mistakes(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> List[str]:
    """Why the tensors do not fit the network, the first few of each kind."""
    missing = [key for key in wanted if key not in state]
    surplus = [key for key in state if key not in wanted]
    others = [key for key, value in state.items() if key in wanted and not hasattr(value, "shape")]
    shapes = [
        f"{key} {tuple(state[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state
        and key not in others
        and tuple(state[key].shape) != tuple(wanted[key].shape)
    ]
    found = [
        ("unexpected", surplus),
        ("missing", missing),
        ("wrong shape:", shapes),
        ("not a tensor:", others),
    ]
    return [f"{what} {_few(names)}" for what, names in found if names]


def _unwrapped(content: Mapping[Any, Any], wanted: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """The state dict, or the one inside a training checkpoint."""
    if any(key in wanted for key in content) or _is_state(content):
        return {str(key): value for key, value in content.items()}
    found = dict(_states(content))
    paths = [path for key in WRAPPERS for path in found if path.split(".")[0] == key]
    if len(found) == 1:
        paths = list(found)
    if not paths:
        raise ValueError(f"{name} contains {_few(list(content))}; {ALONE}")
    rest = f", not {_few([repr(path) for path in paths[1:]])}" if paths[1:] else ""
    print(f"{name}: contains {_few(list(content))}; using '{paths[0]}'{rest}")
    return {str(key): value for key, value in found[paths[0]].items()}


def _states(content: Mapping[Any, Any]) -> Iterator[Tuple[str, Mapping[Any, Any]]]:
    """State dicts in a checkpoint by path, such as `ema.module`."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            if _is_state(value):
                yield str(key), value
            elif key in WRAPPERS:
                yield from ((f"{key}.{path}", state) for path, state in _states(value))


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(hasattr(value, "shape") for value in content.values())


def _unprefixed(state: Dict[str, Any], wanted: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """Names without a wrapper's prefix, if exactly one prefix yields all weights."""
    needed = [key for key in wanted if not _is_counter(key)]
    if not needed or all(key in state for key in needed):
        return state
    before = [key[: -len(needed[0])] for key in state if key.endswith(f".{needed[0]}")]
    fits = [prefix for prefix in before if all(prefix + key in state for key in needed)]
    if len(fits) > 1:
        raise ValueError(
            f"{name} has the network's weights under each of {_few(fits)}; save only one of them"
        )
    if not fits:
        return _stripped(state, wanted, name)
    others = [key for key in state if not key.startswith(fits[0])]
    rest = f"; ignored {_few(others)}" if others else ""
    print(f"{name}: removed the prefix '{fits[0]}'{rest}")
    return {k[len(fits[0]) :]: value for k, value in state.items() if k.startswith(fits[0])}


def _stripped(state: Dict[str, Any], wanted: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """Without the usual prefixes, so that errors name the network's own tensors."""
    for prefix in PREFIXES:
        if state and not set(state) & set(wanted) and all(k.startswith(prefix) for k in state):
            print(f"{name}: removed the prefix '{prefix}'")
            state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == COUNTER


def _few(names: Sequence[Any]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(map(str, names[:SHOWN])) or "nothing") + more
