"""Runs beside a real torch: saves checkpoints as trainers do, and loads each.

`python checkpoints_in_torch.py FOLDER` writes `found.json` there: name -> outputs by name, or what
was raised. Needs `harness` on the path.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.formats import pytorch, torchscript
from harness.formats.engine import RuntimeOptions
from harness.records import ModelSpec, TensorSpec

BLOCKS = """
from torch import nn

class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 4, 4)
        self.bn = nn.BatchNorm2d(2)
    def forward(self, x):
        return self.bn(self.conv(x)).mean((2, 3))
"""
NETWORK = """
from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

{imports}


@dataclass
class Config:
    scale: float = 1.0


@dataclass
class Answer:
    label: torch.Tensor
    logits: torch.Tensor


class Pair(NamedTuple):
    label: torch.Tensor
    logits: torch.Tensor


class Net(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.stem = Stem()
        self.config = config

    def forward(self, x):
        logits = self.stem(x) * self.config.scale
        label = logits.argmax(1)
        return {answer}


def build():
    return Net()
"""
PLAIN = "logits, label"
SPEC = ModelSpec(
    "net", "classification", "network.py", "build", "weights.pt", "",
    (TensorSpec("images", (1, 3, 8, 8)),), ("logits", "label"), ("a", "b"),
)  # fmt: skip


def network(folder: Path, imports: str = "from blocks import Stem", answer: str = PLAIN) -> None:
    """A model's folder with its two files; torch's modules of an earlier one are forgotten."""
    folder.mkdir(exist_ok=True)
    (folder / "blocks.py").write_text(BLOCKS)
    (folder / "network.py").write_text(NETWORK.format(imports=imports, answer=answer))
    for name in [name for name in sys.modules if name.startswith(("blocks", "bench_model"))]:
        del sys.modules[name]


class Held(torch.nn.Module):
    """A network inside of another one, as trainers have it."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.model = inner
        self.criterion = torch.nn.Linear(2, 2)


def states(net: torch.nn.Module) -> dict[str, Any]:
    """Checkpoints of one network, by what they are."""
    state = net.state_dict()
    module = OrderedDict(("module." + key, value) for key, value in state.items())
    optimizer = torch.optim.Adam(net.parameters()).state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    return {
        "plain": state,
        "half": {key: v.half() if v.is_floating_point() else v for key, v in state.items()},
        "trainer": {"epoch": 3, "state_dict": state, "optimizer": optimizer, "best_acc": 0.9},
        "data parallel": module,
        "wrapped data parallel": {"model": module, "optimizer": optimizer, "epoch": 3},
        "compiled": OrderedDict(("_orig_mod." + key, value) for key, value in state.items()),
        "lightning": {"state_dict": Held(net).state_dict(), "pytorch-lightning_version": "2.5"},
        "averaged": {"ema": {"module": state, "updates": 7}, "date": "today"},
        "swa": torch.optim.swa_utils.AveragedModel(net).state_dict(),
        "old": old,
        "profiled": {**state, "stem.conv.total_ops": torch.zeros(1), "total_params": torch.ones(1)},
        "list": [state],
        "nothing": {"epoch": 3},
        "another network": {"state_dict": torch.nn.Linear(2, 2).state_dict(), "epoch": 3},
        "objects": {"model": net, "epoch": 3},
    }


def outputs(folder: Path, format: Any, precision: str) -> dict[str, Any]:
    """What the converted model says of one input."""
    artifact = folder / f"artifact{format.SPEC.suffix}"
    format.convert(SPEC, folder, precision, artifact)
    engine = format.load(artifact, SPEC, RuntimeOptions(1, precision, folder))
    engine.feed(np.linspace(0, 1, 192, dtype=np.float32).reshape(SPEC.input.shape))
    engine.invoke()
    found = engine.fetch()
    return {
        name: [value.dtype.name, np.round(value.astype(float), 2).tolist()]
        for name, value in found.items()
    }


def attempt(work: Callable[[], Any]) -> Any:
    """Its result, or what it raised."""
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(root: Path) -> dict[str, Any]:
    """All checkpoints, then all ways to return outputs and to import a neighbour."""
    torch.manual_seed(0)
    first = root / "first"
    network(first)
    sys.path.append(str(first))
    import network as ours  # the same classes as a trainer's own

    net = ours.build().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape))
    found: dict[str, Any] = {}
    for name, state in states(net).items():
        torch.save(state, first / "weights.pt")
        for format in (pytorch, torchscript):
            work = lambda format=format: outputs(first, format, "fp32")  # noqa: E731
            found[f"{name}, {format.SPEC.name}"] = attempt(work)
    torch.save(net.state_dict(), first / "weights.pt")
    for answer in (PLAIN, "[logits, label]", "{'label': label, 'logits': logits}",
                   "OrderedDict(label=label, logits=logits)", "Pair(label, logits)",
                   "Answer(label, logits)", "{'a': logits, 'b': label}",
                   "(logits, [label])"):  # fmt: skip
        network(first, answer=answer)
        for format in (pytorch, torchscript):
            work = lambda format=format: outputs(first, format, "fp16")  # noqa: E731
            found[f"{answer}, {format.SPEC.name}"] = attempt(work)
    network(first, imports="from .blocks import Stem")
    found["relative"] = attempt(lambda: outputs(first, pytorch, "fp32"))
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "found.json").write_text(json.dumps(main(folder)))
