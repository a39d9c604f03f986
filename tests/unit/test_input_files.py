"""`input:` and `inputs:` of model.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.records import TensorSpec
from harness.scenario.config import read_model
from harness.scenario.model import Model
from harness.steps.tensor_data import Generator

ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x052.13.0"
TFLITE = b"\x1c\x00\x00\x00TFL3\x14\x00"


def read(folder: Path, text: str, task: str = "tensor", source: str = "m.onnx") -> Model:
    (folder / "m.onnx").write_bytes(ONNX)
    (folder / "m.tflite").write_bytes(TFLITE)
    head = f"task: {task}\nsource: {source}\noutputs: [y]\n"
    classes = "" if task == "tensor" else "classes: [a]\n"
    (folder / "model.yaml").write_text(head + classes + text)
    return read_model(folder)


def mistakes(folder: Path, text: str, task: str = "tensor", source: str = "m.onnx") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, task, source)
    return [line.replace(f"{folder}/model.yaml:", "") for line in caught.value.mistakes]


SEVERAL = """\
inputs:
  - {name: input, shape: [1, 512], generate: {distribution: normal, std: 0.1}}
  - {name: state, shape: [2, 1, 128], generate: {distribution: uniform, low: -1, high: 1, seed: 3}}
  - name: sr
    shape: []
    dtype: int64
    generate: {distribution: integers, low: 16000, high: 16001}
"""


def test_a_model_may_have_several_inputs_of_any_type_and_need_no_classes(tmp_path: Path) -> None:
    model = read(tmp_path, SEVERAL)
    assert model.spec.inputs == (
        TensorSpec("input", (1, 512)),
        TensorSpec("state", (2, 1, 128)),
        TensorSpec("sr", (), "int64"),
    )
    assert model.generators == {
        "input": Generator("normal", std=0.1),
        "state": Generator("uniform", -1, 1, seed=3),
        "sr": Generator("integers", 16000, 16001),
    }


def test_an_image_may_be_of_another_layout_and_type_and_need_not_be_square(tmp_path: Path) -> None:
    text = "input: {name: x, shape: [1, 48, 320, 3], dtype: uint8, layout: NHWC}\n"
    model = read(tmp_path, text + "options: {range: -1..1}\n", "classification", "m.tflite")
    assert model.spec.input == TensorSpec("x", (1, 48, 320, 3), "uint8", "NHWC")
    assert model.spec.input.size == (48, 320)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1: input: missing"),
        (
            "input: {name: x, shape: [1]}\ninputs: [{name: x, shape: [1]}]",
            "4: input: cannot be given with `inputs`",
        ),
        (
            "inputs:\n- {name: x, shape: [1]}\n- {name: x, shape: [1]}",
            "5: inputs[0].name: 'x' is a duplicate entry",
        ),
        (
            "input:\n  name: x\n  shape: [1]\n  generate: {distribution: normal, low: 1}",
            "7: input.generate: normal has no low, got {'distribution': 'normal', 'low': 1}",
        ),
        (
            "input:\n  name: x\n  shape: [1]\n  generate: {distribution: integers, low: 1}",
            "7: input.generate: integers need low and high, "
            "got {'distribution': 'integers', 'low': 1}",
        ),
        (
            "input:\n  name: x\n  shape: [1]\n  dtype: int64\n  generate: {distribution: normal}",
            "8: input.generate: x is int64; use distribution: integers",
        ),
        (
            "input:\n  name: x\n  shape: [1]\n  dtype: int8\n"
            "  generate: {distribution: integers, low: 0, high: 30522}",
            "8: input.generate: 0 to 30521 is beyond int8",
        ),
        (
            "input:\n  name: x\n  shape: [1]\n"
            "  generate: {distribution: integers, low: 0, high: 1.0e+30}",
            "7: input.generate: 0 to 1e+30 is beyond float32",
        ),
        (
            "input: {name: x, shape: [100000, 100000]}",
            "4: input.shape: 10,000,000,000 values exceed 268,435,456",
        ),
        (
            "input: {name: x, shape: [1], dtype: float64}",
            "4: input.dtype: 'float64' is not one of "
            "float32, float16, int64, int32, uint8, int8, bool",
        ),
    ],
)
def test_mistakes_in_inputs_have_their_line(tmp_path: Path, text: str, words: str) -> None:
    assert mistakes(tmp_path, text)[0] == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "input: {name: x, shape: [1, 320, 320, 3]}",
            "5: input.shape: expected batch, 3, height, width, or layout: NHWC, "
            "got [1, 320, 320, 3]",
        ),
        (
            "input: {name: x, shape: [1, 512]}",
            "5: input.shape: expected batch, 3, height, width, got [1, 512]",
        ),
        (
            "input: {name: x, shape: [1, 3, 8, 8], dtype: uint8}",
            "5: input.dtype: uint8 needs options.range, the values that an image has in the model",
        ),
        (
            "input: {name: x, shape: [1, 3, 8, 8], dtype: uint8}\noptions: {range: 0..1}",
            "5: input.dtype: uint8 has no scale here; set options.range: 0..255",
        ),
        (
            "input: {name: x, shape: [1, 3, 8, 8], generate: {distribution: normal}}",
            "5: input.generate: images are read from a dataset; only task tensor generates",
        ),
        (
            "inputs: [{name: x, shape: [1, 3, 8, 8]}, {name: y, shape: [1, 3, 8, 8]}]",
            "5: inputs: task classification takes one input, an image; "
            "use task: tensor for several",
        ),
    ],
)
def test_mistakes_in_images_have_their_line(tmp_path: Path, text: str, words: str) -> None:
    assert mistakes(tmp_path, text, "classification") == [words]


def test_only_models_of_tensors_need_no_classes(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "task: classification\nsource: m.onnx\noutputs: [y]\ninput: {name: x, shape: [1, 3, 8, 8]}"
    )
    (tmp_path / "m.onnx").write_bytes(ONNX)
    with pytest.raises(ConfigError) as caught:
        read_model(tmp_path)
    assert caught.value.mistakes == [f"{tmp_path}/model.yaml:1: classes: missing"]


def test_a_model_of_tensors_has_no_decoder(tmp_path: Path) -> None:
    text = "input: {name: x, shape: [1]}\ndecoder: yolov8\n"
    assert mistakes(tmp_path, text) == ["5: decoder: task tensor has no decoders"]
