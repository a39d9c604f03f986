"""Checkpoints and networks as people have them, through a real torch in the format's image."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.containers import ContainerEngine, JobSpec, Mount
from harness.containers.docker import DockerEngine
from harness.payload import payload

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("checkpoints_in_torch.py")
RIGHT = {"logits": ["float32", [[8.3, 17.96]]], "label": ["int64", [1.0]]}
FORMATS = ("pytorch", "torchscript")
ALONE = "save only the state dict: torch.save(model.state_dict(), path)"


def in_torch(engine: ContainerEngine, folder: Path) -> dict[str, Any]:
    """What the script found, run in PyTorch's image."""
    image = engine.build("pytorch", folder / "build.log")
    work = folder / "work"
    work.mkdir()
    shutil.copyfile(SCRIPT, work / SCRIPT.name)
    mount, ours = Mount(work, "/job", writable=True), Mount(payload().folder, "/bench")
    there = engine.locate(mount)
    job = JobSpec(
        (f"{there}/{SCRIPT.name}", there),
        folder / "log.txt",
        (mount, ours),
        env={"PYTHONPATH": engine.locate(ours)},
    )
    done = engine.run(image, job)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((work / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    engine = DockerEngine()
    try:
        return in_torch(engine, tmp_path_factory.mktemp("torch"))
    finally:
        engine.close()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "saved",
    [
        "plain", "half", "trainer", "data parallel", "wrapped data parallel", "compiled",
        "lightning", "averaged", "swa", "old", "profiled",
    ],
)  # fmt: skip
def test_a_checkpoint_is_the_same_model_however_it_was_saved(
    found: dict[str, Any], saved: str, format: str
) -> None:
    assert found[f"{saved}, {format}"] == RIGHT


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ("list", "weights.pt contains a list, not a state dict"),
        ("nothing", f"weights.pt contains epoch; {ALONE}"),
        (
            "another network",
            "weights.pt does not fit build(): unexpected weight, bias; missing "
            "stem.conv.weight, stem.conv.bias, stem.bn.weight and 3 more",
        ),
        (
            "objects",
            "weights.pt contains Python objects (network.Net), which are never loaded; " + ALONE,
        ),
    ],
)
def test_a_checkpoint_that_is_none_says_what_it_has(
    found: dict[str, Any], saved: str, words: str, format: str
) -> None:
    assert found[f"{saved}, {format}"] == f"ValueError: {words}"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "answer",
    [
        "logits, label", "[logits, label]", "{'label': label, 'logits': logits}",
        "OrderedDict(label=label, logits=logits)", "Pair(label, logits)", "Answer(label, logits)",
    ],
)  # fmt: skip
def test_outputs_are_the_same_however_they_are_returned(
    found: dict[str, Any], answer: str, format: str
) -> None:
    assert found[f"{answer}, {format}"] == RIGHT


@pytest.mark.parametrize("format", FORMATS)
def test_outputs_that_do_not_fit_are_told_before_a_tracer_sees_them(
    found: dict[str, Any], format: str
) -> None:
    assert found[f"{{'a': logits, 'b': label}}, {format}"] == (
        "ValueError: the model returns a dict with a, b, expected logits, label (model.yaml)"
    )
    assert found[f"(logits, [label]), {format}"] == (
        "ValueError: output label is a list, not a tensor: return one tensor per output "
        "from forward()"
    )


def test_a_neighbour_is_imported_by_a_relative_name(found: dict[str, Any]) -> None:
    assert found["relative"] == RIGHT
