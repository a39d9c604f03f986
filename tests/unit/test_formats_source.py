"""Checkpoints and networks as people have them, with a stand-in for torch's tensors."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness import payload
from harness.formats import source
from harness.records import ModelSpec, TensorSpec

SPEC = ModelSpec(
    "tiny", "detection", "network.py", "build", "weights.pt", "0",
    TensorSpec("images", (1, 3, 8, 8)), ("boxes", "scores"), ("card",),
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
            "w.pt: a checkpoint with state_dict, epoch; took 'state_dict'\n",
        ),
        (
            {"epoch": 3, "model": state("module."), "optimizer": {"lr": 1}},
            "w.pt: a checkpoint with epoch, model, optimizer; took 'model'\n"
            "w.pt: left out 'module.' before each name\n",
        ),
        (state("module."), "w.pt: left out 'module.' before each name\n"),
        (state("_orig_mod."), "w.pt: left out '_orig_mod.' before each name\n"),
        (
            {"state_dict": state("model."), "pytorch-lightning_version": "2"},
            "w.pt: a checkpoint with state_dict, pytorch-lightning_version; took 'state_dict'\n"
            "w.pt: left out 'model.' before each name\n",
        ),
        (
            state(**{"conv.total_ops": np.zeros(1), "total_params": np.zeros(1)}),
            "w.pt: left out 2 counters of a profiler\n",
        ),
    ],
)
def test_a_checkpoint_is_taken_as_trainers_write_it(
    content: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = source.fitted(content, WANTED, "w.pt")
    assert source.mistakes(found, WANTED) == []
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1], "w.pt has a list, not a state dict"),
        (
            {"epoch": 3, "optimizer": {}},
            "w.pt is a checkpoint with epoch, optimizer: save the state dict alone, "
            "torch.save(model.state_dict(), path)",
        ),
        ({}, "w.pt is a checkpoint with nothing in it: save the state dict alone"),
    ],
)
def test_a_checkpoint_without_weights_says_what_it_has(content: Any, what: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        source.fitted(content, WANTED, "w.pt")
    assert str(caught.value).startswith(what)


def test_the_cause_is_never_hidden_behind_a_long_list() -> None:
    wanted = {f"block{n}.weight": np.zeros(1) for n in range(40)} | WANTED
    found = {**state(), "conv.bias": np.zeros(7), "epoch": np.zeros(1)}
    assert source.mistakes(found, wanted) == [
        "it also has epoch",
        "it lacks block0.weight, block1.weight, block2.weight and 37 more",
        "another shape: conv.bias is (7,) and should be (2,)",
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
        ({"a": 1, "b": 2}, "the model returns a dict with a, b, model.yaml names boxes, scores"),
        ((1, 2, 3), "the model returns 3 tensors, model.yaml names 2"),
        (1, "the model returns 1 tensors, model.yaml names 2"),
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
    (folder / "blocks.py").write_text("class Net:\n    def eval(self): return self\n")
    (folder / "network.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        f"{line}\n\n@dataclass\nclass Config:\n    width: int = 8\n\ndef build(): return Net()\n"
    )
    found = source.build(dataclasses.replace(SPEC, module=module), tmp_path)
    assert type(found).__name__ == "Net"
    monkeypatch.delitem(__import__("sys").modules, "blocks", raising=False)


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
