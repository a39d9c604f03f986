"""What the runner makes of a model's raw outputs before anything is compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.formats.engine import check_count
from harness.formats.tflite import InterpreterEngine
from harness.records import ModelSpec, TensorSpec
from harness.runner import modes, samples
from harness.runner.job import VERSION, Answer, Job, Pass
from harness.serial import loads

SPEC = ModelSpec(
    "labels", "classification", "n.py", "build", "w.pt", "0", (TensorSpec("x", (1, 3, 8, 8)),),
    ("logits", "label"), ("a", "b"), {"normalise": "none", "resize": 8},
)  # fmt: skip
Say = Callable[[int], dict[str, Any]]


class Model:
    """Satisfies `Engine`; one buffer for all runs, as runtimes have it."""

    inputs, unbound = SPEC.inputs, ()

    def __init__(self, say: Say) -> None:
        self.say, self.runs = say, 0
        self.buffers: dict[str, np.ndarray] = {}

    def feed(self, tensors: Any) -> None:
        pass

    def invoke(self) -> None:
        for name, value in self.say(self.runs).items():
            if self.buffers.get(name, np.zeros(0)).shape != np.shape(value):
                self.buffers[name] = np.array(value)
            self.buffers[name][...] = value
        self.runs += 1

    def fetch(self) -> dict[str, np.ndarray]:
        return self.buffers


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Say], dict[str, Any]]:
    """`outputs.npz` of two images, as the model says it."""
    images = [(n, np.zeros((8, 8, 3), np.uint8)) for n in range(2)]
    monkeypatch.setattr(samples.packs, "open_pack", lambda path: images)
    monkeypatch.setattr(modes, "runtime_version", lambda job: "1.0")
    job = Job(VERSION, "outputs", "onnx", "fp32", 1, SPEC, "", "m.onnx", "pack", 2)

    def run(say: Say) -> dict[str, Any]:
        monkeypatch.setattr(modes, "load", lambda job: Model(say))
        answer = modes.outputs(job, tmp_path, lambda *given, **values: None, 0)
        assert isinstance(answer, Answer)
        with np.load(tmp_path / "outputs.npz") as file:
            return {name: file[name] for name in file.files}

    return run


def test_labels_stay_whole_numbers_and_floats_of_any_width_become_float32(
    outputs: Callable[[Say], dict[str, Any]],
) -> None:
    big = 2**24 + 1  # which float32 has not
    for wide in (np.float16, np.float64):
        found = outputs(
            lambda n, wide=wide: {  # type: ignore[misc]
                "logits": np.array([[0.5, n]], wide),
                "label": np.array([big + n], np.int64),
            }
        )
        assert found["logits"].dtype == np.float32
        assert found["logits"].tolist() == [[[0.5, 0.0]], [[0.5, 1.0]]]
        assert (found["label"].dtype, found["label"].tolist()) == (np.int64, [[big], [big + 1]])


def test_each_image_has_its_own_outputs_though_the_runtime_has_one_buffer(
    outputs: Callable[[Say], dict[str, Any]],
) -> None:
    found = outputs(lambda n: {"logits": np.full((1, 2), n, np.float32), "label": np.array([n])})
    assert found["logits"].tolist() == [[[0.0, 0.0]], [[1.0, 1.0]]]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"logits": np.zeros((1, 2)), "output_1": np.zeros(1)},
            "missing output label: the model returns logits, output_1",
        ),
        (
            {"logits": np.zeros((1, 3)), "label": np.zeros(1)},
            "output logits has 3 values, expected 2 (model.yaml); if the first is the background, "
            "set options.background: first",
        ),
    ],
)
def test_an_output_that_cannot_be_compared_is_named(
    outputs: Callable[[Say], dict[str, Any]], said: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        outputs(lambda n: said)


def test_single_and_empty_outputs_are_kept(outputs: Callable[[Say], dict[str, Any]]) -> None:
    found = outputs(lambda n: {"logits": np.zeros((2, 1)), "label": np.int64(n)})
    assert found["label"].tolist() == [0, 1]
    assert found["logits"].shape == (2, 2, 1)
    found = outputs(lambda n: {"logits": np.zeros(2), "label": np.zeros((1, 0))})
    assert found["label"].shape == (2, 1, 0)


def test_an_output_that_grows_with_what_is_seen_is_flat_with_its_shapes(
    outputs: Callable[[Say], dict[str, Any]],
) -> None:
    found = outputs(lambda n: {"logits": np.zeros(2), "label": np.full((1, n), 7)})
    assert found["label"].tolist() == [7]
    assert found["label:shapes"].tolist() == [[1, 0], [1, 1]]


def test_an_output_of_other_dimensions_each_time_is_named(
    outputs: Callable[[Say], dict[str, Any]],
) -> None:
    with pytest.raises(ValueError, match="^output label has 1 dimensions, then 2$"):
        outputs(lambda n: {"logits": np.zeros(2), "label": np.zeros((1,) * (n + 1))})


def test_of_a_batch_the_first_image_is_decoded() -> None:
    batch = replace(SPEC, inputs=(TensorSpec("x", (2, 3, 8, 8)),))
    ready, _ = samples.prepared(np.full((8, 8, 3), 255, np.uint8), batch)
    assert [one.shape for one in ready] == [(2, 3, 8, 8)]
    np.testing.assert_array_equal(ready[0], 1.0)
    model = Model(lambda n: {"logits": np.array([[1, 2], [3, 4]]), "label": np.array([5, 6])})
    model.invoke()
    found = samples.outputs_of(model, batch)
    assert {name: value.tolist() for name, value in found.items()} == {
        "logits": [[1, 2]],
        "label": [5],
    }
    model = Model(lambda n: {"logits": np.zeros((1, 4)), "label": np.zeros(2)})
    model.invoke()
    words = "output logits has shape (1, 4): its first dimension must be the batch, 2"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        samples.outputs_of(model, batch)


def detail(index: int, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """As TFLite's interpreter describes a tensor."""
    return {"index": index, "name": name, "shape": np.array(shape), "dtype": np.float32,
            "shape_signature": np.array(shape), "quantization": (0.0, 0)}  # fmt: skip


def test_outputs_that_go_by_position_must_all_be_there() -> None:
    words = "the converted model has 1 outputs, expected logits, label"
    check_count(2, SPEC)
    with pytest.raises(ValueError, match=words):
        check_count(1, SPEC)

    class Interpreter:
        def allocate_tensors(self) -> None: ...
        def invoke(self) -> None: ...
        def get_input_details(self) -> Any:
            return [detail(0, "x", (1, 3, 8, 8))]

        def get_output_details(self) -> Any:
            return [detail(1, "logits", (1, 2))]

    with pytest.raises(ValueError, match=words):
        InterpreterEngine(Interpreter(), SPEC)


def test_passes_in_one_process_leave_each_their_answer_and_the_profile_comes_last_on_one_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, int, int, tuple[int, ...]]] = []

    def one(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> Answer:
        seen.append((job.mode, job.pack, job.images, job.threads, job.cpus))
        return Answer(1.0, "1.0", job.images)

    monkeypatch.setattr(modes, "runtime_version", lambda job: "1.0")
    monkeypatch.setattr(modes, "keep_to", tuple)
    for mode in ("outputs", "predict", "profile"):
        monkeypatch.setitem(modes.MODES, mode, one)
    asked = (Pass("profile", "few", 4), Pass("outputs", "few", 2), Pass("predict", "all", 9))
    job = Job(
        VERSION, "passes", "onnx", "fp32", 2, SPEC, "", "m.onnx", passes=asked, cpus=(0, 3)
    )  # fmt: skip
    assert modes.passes(job, tmp_path, lambda *given, **values: None, 0).images == 0
    assert seen == [
        ("outputs", "few", 2, 2, (0, 3)),
        ("predict", "all", 9, 2, (0, 3)),
        ("profile", "few", 4, 1, (3,)),
    ]
    left = {p.name: loads(Answer, p.read_bytes()).images for p in tmp_path.iterdir()}
    assert left == {"outputs.json": 2, "predict.json": 9, "profile.json": 4}
