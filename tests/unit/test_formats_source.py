"""Checkpoints and networks as people have them, with a stand-in for torch's tensors."""

from __future__ import annotations

import dataclasses
import pickle
import re
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness import payload
from harness.formats import checkpoint, source
from harness.records import ModelSpec, TensorSpec

SPEC = ModelSpec(
    "tiny", "detection", "network.py", "build", "weights.pt", "0",
    (TensorSpec("images", (1, 3, 8, 8)),), ("boxes", "scores"), ("card",),
)  # fmt: skip
WANTED = {"conv.weight": np.zeros((2, 3)), "conv.bias": np.zeros(2)}


def state(prefix: str = "", **more: Any) -> dict[str, Any]:
    return {**{prefix + key: value for key, value in WANTED.items()}, **more}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (state(), ""),
        (OrderedDict(state()), ""),
        (
            {"state_dict": state(), "epoch": 3},
            "w.pt: contains state_dict, epoch; using 'state_dict'\n",
        ),
        (
            {"epoch": 3, "model": state("module."), "optimizer": {"lr": 1}},
            "w.pt: contains epoch, model, optimizer; using 'model'\n"
            "w.pt: removed the prefix 'module.'\n",
        ),
        (state("module."), "w.pt: removed the prefix 'module.'\n"),
        (
            {"epoch": 1, "model": state("module."), "ema": {"module": state(), "updates": 7}},
            "w.pt: contains epoch, model, ema; using 'model', not 'ema.module'\n"
            "w.pt: removed the prefix 'module.'\n",
        ),
        (
            {"ema": {"decay": 0.9, "shadow": state()}},
            "w.pt: contains ema; using 'ema.shadow'\n",
        ),
        (
            {"netG": state(), "iterations": 5},
            "w.pt: contains netG, iterations; using 'netG'\n",
        ),
        (
            state("_orig_mod.module."),
            "w.pt: removed the prefix '_orig_mod.module.'\n",
        ),
        (
            {**state("model."), "criterion.weight": np.zeros(3)},
            "w.pt: removed the prefix 'model.'; ignored criterion.weight\n",
        ),
        (
            state(**{"conv.num_batches_tracked": np.zeros(())}),
            "w.pt: ignored 1 unused counters: conv.num_batches_tracked\n",
        ),
        (state("_orig_mod."), "w.pt: removed the prefix '_orig_mod.'\n"),
        (
            {"state_dict": state("model."), "pytorch-lightning_version": "2"},
            "w.pt: contains state_dict, pytorch-lightning_version; using 'state_dict'\n"
            "w.pt: removed the prefix 'model.'\n",
        ),
        (
            state(**{"conv.total_ops": np.zeros(1), "total_params": np.zeros(1)}),
            "w.pt: ignored 2 unused counters: conv.total_ops, total_params\n",
        ),
    ],
)
def test_a_checkpoint_is_taken_as_trainers_write_it(
    content: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = checkpoint.fitted(content, WANTED, "w.pt")
    assert checkpoint.mistakes(found, WANTED) == []
    assert capsys.readouterr().out == said


def test_an_old_checkpoint_without_counters_has_all_that_is_computed_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = {**WANTED, "bn.num_batches_tracked": np.zeros(())}
    for content in (state(), state("module.")):
        assert checkpoint.mistakes(checkpoint.fitted(content, wanted, "w.pt"), wanted) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            pickle.UnpicklingError(
                "Weights only load failed. In PyTorch 2.6, we changed …\n\tUnsupported global: "
                "GLOBAL ultralytics.nn.tasks.DetectionModel was not an allowed global by default."
            ),
            "w.pt contains Python objects (ultralytics.nn.tasks.DetectionModel), which are never "
            "loaded; save only the state dict: torch.save(model.state_dict(), path)",
        ),
        (
            RuntimeError("Cannot use ``weights_only=True`` with TorchScript archives passed to …"),
            "w.pt is a TorchScript archive, not a state dict; save only the state dict: "
            "torch.save(model.state_dict(), path)",
        ),
        (
            pickle.UnpicklingError("Weights only load failed. In PyTorch 2.6, …"),
            "w.pt is damaged, or not a PyTorch checkpoint (UnpicklingError)",
        ),
        (EOFError(), "w.pt is damaged, or not a PyTorch checkpoint (EOFError)"),
        (
            RuntimeError("PytorchStreamReader failed\nmore"),
            "w.pt cannot be read by torch.load: RuntimeError: PytorchStreamReader failed",
        ),
    ],
)
def test_a_file_that_torch_does_not_read_is_told_by_its_cause(error: Exception, words: str) -> None:
    assert checkpoint.unreadable("w.pt", error) == words


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            {**state("student."), **state("teacher.")},
            "w.pt has the network's weights under each of student., teacher.; save only one",
        ),
        ([1], "w.pt contains a list, not a state dict"),
        (
            {"epoch": 3, "optimizer": {}},
            "w.pt contains epoch, optimizer; save only the state dict: "
            "torch.save(model.state_dict(), path)",
        ),
        ({}, "w.pt contains nothing; save only the state dict"),
    ],
)
def test_a_checkpoint_without_weights_says_what_it_has(content: Any, what: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        checkpoint.fitted(content, WANTED, "w.pt")
    assert str(caught.value).startswith(what)


def test_the_cause_is_never_hidden_behind_a_long_list() -> None:
    wanted = {f"block{n}.weight": np.zeros(1) for n in range(40)} | WANTED
    found = {**state(), "conv.bias": np.zeros(7), "epoch": np.zeros(1)}
    assert checkpoint.mistakes(found, wanted) == [
        "unexpected epoch",
        "missing block0.weight, block1.weight, block2.weight and 37 more",
        "wrong shape: conv.bias (7,), expected (2,)",
    ]


# ---- outputs ------------------------------------------------------------------------------------


class Pair(NamedTuple):
    scores: int
    boxes: int


class Other(NamedTuple):
    first: int
    second: int


@dataclasses.dataclass
class Found:
    scores: int
    boxes: int


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        ((1, 2), [1, 2]),
        ([1, 2], [1, 2]),
        ({"scores": 2, "boxes": 1, "aux": 3}, [1, 2]),
        (OrderedDict(scores=2, boxes=1), [1, 2]),
        (Pair(scores=2, boxes=1), [1, 2]),
        (Other(1, 2), [1, 2]),
        (Found(scores=2, boxes=1), [1, 2]),
    ],
)
def test_outputs_are_matched_by_name_where_they_have_names(outputs: Any, wanted: Any) -> None:
    assert list(source.named(outputs, SPEC)) == wanted


@pytest.mark.parametrize(
    ("outputs", "what"),
    [
        (
            {"a": 1, "b": 2},
            "the model returns a dict with a, b, expected boxes, scores (model.yaml)",
        ),
        ((1, 2, 3), "the model returns 3 outputs, expected 2 (model.yaml)"),
        (
            ([1], 2),
            "output boxes is a list, not a tensor: return one tensor per output from forward()",
        ),
        (
            {"boxes": 1, "scores": None},
            "output scores is a NoneType, not a tensor: "
            "return one tensor per output from forward()",
        ),
        (1, "the model returns 1 outputs, expected 2 (model.yaml)"),
    ],
)
def test_outputs_that_do_not_fit_are_named(outputs: Any, what: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        source.named(outputs, SPEC)
    assert str(caught.value) == what


# ---- networks of several files ------------------------------------------------------------------


@pytest.mark.parametrize("line", ["from blocks import Net", "from .blocks import Net"])
@pytest.mark.parametrize("module", ["network.py", "src/network.py"])
def test_a_network_may_have_several_files_and_dataclasses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, module: str
) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    for name in ("blocks", source.MODULE, f"{source.MODULE}.blocks"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    folder = (tmp_path / module).parent
    folder.mkdir(exist_ok=True)
    (folder / "blocks.py").write_text(
        "class Net:\n    def eval(self): return self\n    def state_dict(self): return {}\n"
    )
    (folder / "network.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        f"{line}\n\n@dataclass\nclass Config:\n    width: int = 8\n\ndef build(): return Net()\n"
    )
    found = source.build(dataclasses.replace(SPEC, module=module), tmp_path)
    assert type(found).__name__ == "Net"
    monkeypatch.delitem(__import__("sys").modules, "blocks", raising=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def make(): pass\n", "network.py has no function build() (see model.yaml)"),
        ("def build(): return (1, 2)\n", "build() returns a tuple, not a module"),
    ],
)
def test_a_module_that_builds_no_network_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("sys.modules", dict(sys.modules))
    (tmp_path / "network.py").write_text(text)
    with pytest.raises((ImportError, TypeError), match=f"^{re.escape(words)}$"):
        source.build(SPEC, tmp_path)


# ---- the key of a conversion --------------------------------------------------------------------


def test_a_conversion_depends_on_all_that_its_format_imports() -> None:
    names = {path.name for path in payload.imported(payload.PACKAGE / "formats" / "openvino.py")}
    assert {"openvino.py", "source.py", "records.py", "placement.py", "engine.py"} <= names
    assert "tflite.py" not in names
    runtime = {p.name for p in payload.imported(payload.PACKAGE / "formats/tflite_runtime.py")}
    assert {"tflite_runtime.py", "tflite.py", "litert_c.py"} <= runtime


def test_a_change_anywhere_behind_a_format_changes_its_key(tmp_path: Path) -> None:
    package = tmp_path / "harness"
    (package / "formats").mkdir(parents=True)
    (package / "records.py").write_text("X = 1\n")
    (package / "formats/deep.py").write_text("from ..records import X\n")
    (package / "formats/a.py").write_text("def convert():\n    from .deep import X\n")
    (package / "formats/b.py").write_text("")
    found = payload.imported(package / "formats/a.py", package)
    assert [path.name for path in found] == ["a.py", "deep.py", "records.py"]
