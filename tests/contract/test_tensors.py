"""Tensors of any shape, type and layout through real runtimes, each in its format's image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import formats
from harness.containers import ContainerEngine, JobSpec, Mount
from harness.containers.docker import DockerEngine
from harness.payload import payload

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("tensors_in_runtimes.py")
#: images that make files come first
FORMATS = ("onnx", "tflite", "openvino", "pytorch", "torchscript")

Found = dict[str, dict[str, Any]]


def run(engine: ContainerEngine, folder: Path, name: str) -> dict[str, Any]:
    """What the script found in the image of a format."""
    image = engine.build(formats.REGISTRY[name].SPEC.image, folder / f"build-{name}.log")
    mount = Mount(folder / "work", "/job", writable=True)
    ours = Mount(payload().folder, "/bench")
    there = engine.locate(mount)
    job = JobSpec(
        (f"{there}/{SCRIPT.name}", there, name),
        folder / f"log-{name}.txt",
        (mount, ours),
        env={"PYTHONPATH": engine.locate(ours)},
    )
    done = engine.run(image, job)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((folder / "work" / f"found-{name}.json").read_text())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("tensors")
    (folder / "work").mkdir()
    shutil.copyfile(SCRIPT, folder / "work" / SCRIPT.name)
    engine = DockerEngine()
    try:
        yield {name: run(engine, folder, name) for name in FORMATS}
    finally:
        engine.close()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_state_and_a_single_integer_go_in_beside_the_samples(found: Found, format: str) -> None:
    """As in silero-vad; the file's open dimensions are fixed, its initialisers are no inputs."""
    said = found[format]["vad"]
    assert [one[:3] for one in said["inputs"]] == [
        ["input", [1, 8], "float32"],
        ["state", [2, 1, 4], "float32"],
        ["sr", [], "int64"],
    ]
    assert said["outputs"]["output"] == ["float32", [[[2.211]], [[4.089]], [[4.788]]]]
    assert said["outputs"]["stateN"][1][0] == [
        [[0.794, 1.078, 0.838, 1.37]],
        [[0.409, 1.756, 0.055, 1.341]],
    ]
    assert said["outputs"]["rate"] == ["int64", [16000.0] * 3]
    assert said["unbound"] == []


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_tokens_are_int32(found: Found, format: str) -> None:
    said = found[format]["tokens"]
    assert said["inputs"][0][2] == "int32"
    rows = [sample[0] for sample in said["outputs"]["y"][1]]
    assert [[row[0] // 4 for row in sample] for sample in rows] == [
        [0, 1, 2, 3, n, 8] for n in range(3)
    ]


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_image_may_be_uint8_with_its_channels_last(found: Found, format: str) -> None:
    said = found[format]["picture"]
    assert said["inputs"] == [["x", [1, 4, 6, 3], "uint8", "NHWC", False]]
    assert said["outputs"]["logits"][1] == [[[34.5, 35.5, 36.5]], [[35.5, 36.5, 37.5]]]


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_nms_inside_keeps_as_many_boxes_as_there_are(found: Found, format: str) -> None:
    said = found[format]["nms"]
    assert sorted(said["unbound"]) == ["boxes", "classes", "scores"]
    outputs = said["outputs"]
    assert outputs["boxes:shapes"][1] == [[0, 4], [2, 4], [5, 4]]
    assert outputs["classes"] == ["int64", [0, 1, 0, 1, 2, 3, 4]]
    assert outputs["scores"][1] == [0.9] * 7
    assert outputs["sum"][1] == [2.4, 4.0, 6.4]  # of a fixed shape, and bound


@pytest.mark.parametrize("format", ["onnx", "openvino", "tflite", "pytorch", "torchscript"])
def test_a_network_of_several_inputs_is_converted_to_every_format(
    found: Found, format: str
) -> None:
    said = found[format]["traced"]
    assert [one[0] for one in said["inputs"]] == ["x", "state", "ids"]
    assert said["outputs"]["y"][1] == [
        [[56, 62, 68, 74]],
        [[60, 66, 72, 78]],
        [[64, 70, 76, 82]],
    ]
    assert said["outputs"]["scaled"][1][0] == [
        [1.251, 2.161, 0.0, 0.907, 0.44, 0.277, 0.559, 1.037]
    ]


@pytest.mark.parametrize("format", ["tflite", "openvino"])
def test_quantised_inputs_and_outputs_take_and_give_real_values(found: Found, format: str) -> None:
    said = found[format]["int8"]
    assert said["inputs"] == [["x", [1, 3, 8, 8], "int8", "NCHW", True]]
    means = [[[0.449, 0.537, 0.449]], [[0.537, 0.535, 0.529]], [[0.478, 0.497, 0.508]]]
    assert said["outputs"]["y"][0] == "float32"
    for sample, mean in zip(said["outputs"]["y"][1], means, strict=True):
        assert sample[0] == pytest.approx(mean[0], abs=0.005)


def test_layers_of_several_inputs_and_of_quantised_ones_are_timed(found: Found) -> None:
    tools = {name: {case["tool"] for case in cases.values()} for name, cases in found.items()}
    assert tools == {
        "onnx": {"ONNX Runtime profiling"},
        "openvino": {"OpenVINO performance counters"},
        "tflite": {"LiteRT's profiler (CompiledModel)"},
        "pytorch": {"torch.profiler"},
        "torchscript": {"torch.profiler"},
    }
