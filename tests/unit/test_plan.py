"""From scenario to cells: order, holes with reasons, mistakes with lines."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from harness import formats
from harness.containers import ContainerEngine
from harness.errors import CannotRun, ConfigError
from harness.records import DeviceFacts, DeviceSpec, ModelSpec, TensorSpec
from harness.scenario import config, plan
from harness.scenario.model import Model
from harness.scenario.plan import Inventory
from harness.steps.dataset_kinds.source import Source
from harness.steps.tensor_data import Generator
from harness.targets.remote import RemoteTarget
from harness.transports.local import LocalTransport


def model(name: str) -> Model:
    spec = ModelSpec(
        name,
        "detection",
        "n.py",
        "build",
        "w.pt",
        "0" * 64,
        (TensorSpec("images", (1, 3, 8, 8)),),
        ("a",),
        ("b",),
    )
    return Model(spec=spec, folder=Path(), datasets={"val": Source(Path("val"))})


INVENTORY = Inventory(
    models={"rio": model("rio")},
    devices={
        "local": DeviceSpec("local", "linux", "local", labels=("host",)),
        "pixel": DeviceSpec("pixel", "android", "adb", labels=("phone",)),
    },
    formats=plan.formats(),
    known_models=("rio",),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(text: str, only: tuple[str, ...] = ()) -> plan.Plan:
    Path("s.yaml").write_text(text)
    return plan.make_plan(config.read_scenario(Path("s.yaml")), INVENTORY, only)


BASE = "name: x\nmodels: [rio]\nformats: [pytorch, onnx]\n"


def test_cells_come_in_the_scenario_s_order() -> None:
    made = planned(BASE + "precisions: [fp32, int8]\nmatrix: {threads: [1, 2]}\n")
    assert [cell.id for cell in made.cells] == [
        "rio-pytorch-fp32-local-t1-b1",
        "rio-pytorch-fp32-local-t2-b1",
        "rio-onnx-fp32-local-t1-b1",
        "rio-onnx-fp32-local-t2-b1",
        "rio-onnx-int8-local-t1-b1",
        "rio-onnx-int8-local-t2-b1",
    ]
    assert {s.cell.id: s.reason for s in made.skipped} == {
        "rio-pytorch-int8-local-t1-b1": "eager PyTorch has no dynamic int8 convolution",
        "rio-pytorch-int8-local-t2-b1": "eager PyTorch has no dynamic int8 convolution",
    }


def test_a_format_that_is_not_built_yet_is_a_hole_with_its_reason() -> None:
    made = planned("name: x\nmodels: [rio]\nformats: [onnx, tensorrt]\n")
    assert [s.reason for s in made.skipped] == ["bench does not support TensorRT yet"]


def test_a_label_that_matches_nothing_is_a_note() -> None:
    made = planned(BASE + "devices: [local, 'label:jetson']\n")
    assert made.notes == (
        "label:jetson: no device has this label; others: local (host), pixel (phone)",
    )


def test_a_label_says_which_devices_it_chose_and_which_not() -> None:
    made = planned(BASE + "devices: ['label:phone']\n")
    assert made.notes == ("label:phone: pixel; others: local (host)",)


def test_a_label_selects_devices_once() -> None:
    made = planned(BASE + "devices: ['label:host', local]\n")
    assert len(made.cells) == 2


def test_exclude_and_only_are_globs_on_ids() -> None:
    assert [c.format for c in planned(BASE + "exclude: ['*-onnx-*']\n").cells] == ["pytorch"]
    assert [c.format for c in planned(BASE, only=("*onnx*",)).cells] == ["onnx"]


def test_unknown_names_are_all_named_with_a_neighbour() -> None:
    with pytest.raises(ConfigError) as raised:
        planned("name: x\nmodels: [rioo]\nformats: [onnnx]\ndevices: [loca]\n")
    assert raised.value.mistakes == [
        "s.yaml:2: models: unknown model 'rioo'; did you mean 'rio'?",
        "s.yaml:3: formats: unknown format 'onnnx'; did you mean 'onnx'?",
        "s.yaml:4: devices: unknown device 'loca'; did you mean 'local'?",
    ]


def test_unknown_names_are_told_beside_other_mistakes() -> None:
    text = "name: x\nmodels: [rioo]\nformats: [onnx, 3]\nprecisions: [fp33]\ndevices: pixel\n"
    Path("s.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        config.read_scenario(Path("s.yaml"), plan.known_names(["rio"], ["local"]))
    assert raised.value.mistakes == [
        "s.yaml:3: formats[1]: input should be a valid string, got 3",
        "s.yaml:4: precisions[0]: 'fp33' is not one of fp32, fp16, int8",
        "s.yaml:5: devices: input should be a valid list, got 'pixel'",
        "s.yaml:2: models: unknown model 'rioo'; did you mean 'rio'?",
    ]


def test_a_duplicate_cell_is_a_mistake() -> None:
    with pytest.raises(ConfigError) as raised:
        planned("name: x\nmodels: [rio]\nformats:\n  - onnx\n  - onnx\n")
    assert raised.value.mistakes == ["s.yaml:5: formats: 'onnx' is a duplicate entry"]


def test_an_unknown_dataset_is_a_mistake() -> None:
    with pytest.raises(ConfigError) as raised:
        planned(BASE + "accuracy: {dataset: vall}\n")
    assert raised.value.mistakes == [
        "s.yaml:4: accuracy.dataset: rio has no dataset 'vall'; did you mean 'val'?"
    ]


@pytest.mark.parametrize(
    ("text", "only", "message"),
    [
        ("exclude: ['*']\n", (), "s.yaml:4: the matrix is empty after exclude"),
        ("", ("nothing",), "s.yaml:1: the matrix is empty after --only nothing"),
    ],
)
def test_an_empty_matrix_is_a_mistake(text: str, only: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        planned(BASE + text, only)
    assert raised.value.mistakes == [message]


def test_another_batch_than_the_model_s_is_skipped() -> None:
    made = planned(BASE + "matrix: {batch: [1, 8]}\n")
    assert {s.reason for s in made.skipped} == {"the model's input has a fixed batch size of 1"}


def test_a_format_is_skipped_on_a_kind_of_device_that_it_does_not_run_on() -> None:
    devices = {
        **INVENTORY.devices,
        "orin": DeviceSpec("orin", "jetson", "ssh"),
        "mini": DeviceSpec("mini", "macos", "ssh"),
    }
    Path("s.yaml").write_text(
        "name: x\nmodels: [rio]\nformats: [pytorch, onnx, tflite-runtime]\n"
        "devices: [local, pixel, orin, mini]\n"
    )
    inventory = dataclasses.replace(INVENTORY, devices=devices)
    made = plan.make_plan(config.read_scenario(Path("s.yaml")), inventory, ())
    only = "only linux or android"
    assert {(s.cell.format, s.cell.device): s.reason for s in made.skipped} == {
        ("pytorch", "orin"): f"PyTorch does not support jetson, {only}",
        ("pytorch", "mini"): f"PyTorch does not support macos, {only}",
        ("tflite-runtime", "mini"): "TFLite (tflite-runtime 2.14) does not support macos, "
        "only linux, jetson or android",
    }


def test_a_mac_that_bench_runs_on_runs_the_linux_images() -> None:
    devices = {"local": DeviceSpec("local", "macos", "local")}
    Path("s.yaml").write_text(BASE)
    inventory = dataclasses.replace(INVENTORY, devices=devices)
    assert not plan.make_plan(config.read_scenario(Path("s.yaml")), inventory, ()).skipped


@pytest.mark.parametrize("arch", ["armv7l", "riscv64"])
def test_a_format_that_is_not_for_a_processor_says_for_which_it_is(arch: str) -> None:
    spec = formats.REGISTRY["onnx"].SPEC
    assert formats.why_not(spec, "pi", "linux", DeviceFacts("linux", arch, "Debian")) == (
        f"ONNX Runtime requires x86_64 or aarch64; pi is {arch}"
    )


@pytest.mark.parametrize(("kind", "arch"), [("linux", "aarch64"), ("macos", "arm64")])
def test_processors_go_by_either_of_their_names(kind: str, arch: str) -> None:
    facts = DeviceFacts(kind, arch, "x")
    assert formats.why_not(formats.REGISTRY["onnx"].SPEC, "m", kind, facts) is None


PI = DeviceFacts("linux", "aarch64", "Debian 12")


@pytest.mark.parametrize(
    ("facts", "fits"),
    [
        (PI, False),
        (dataclasses.replace(PI, nvidia_runtime=True), True),
        (dataclasses.replace(PI, kind="jetson"), True),
    ],
)
def test_a_format_that_computes_on_cuda_only_needs_nvidia(facts: DeviceFacts, fits: bool) -> None:
    spec = dataclasses.replace(formats.REGISTRY["onnx"].SPEC, accelerators=("cuda",))
    reason = "ONNX Runtime requires cuda; pi has no NVIDIA runtime"
    assert formats.why_not(spec, "pi", facts.kind, facts) == (None if fits else reason)


def test_an_image_is_refused_for_the_reason_of_its_format() -> None:
    assert formats.why_no_image("torchscript", "pi", PI) == (
        "TorchScript requires x86_64; pi is aarch64"
    )
    assert formats.why_no_image("another", "pi", PI) is None


def test_a_device_is_told_once_why_a_format_is_not_for_its_processor(tmp_path: Path) -> None:
    spec = DeviceSpec("pi", "linux", "local")
    target = RemoteTarget(spec, cast(ContainerEngine, None), tmp_path, tmp_path, "r")
    target.adopt(LocalTransport("pi"), DeviceFacts("linux", "aarch64", "Debian 12"))
    with pytest.raises(CannotRun) as refused:
        target.place("pytorch")
    assert refused.value.message == "PyTorch requires x86_64; pi is aarch64"


def test_a_format_may_be_made_in_two_ways_each_of_which_is_a_cell() -> None:
    made = planned("name: x\nmodels: [rio]\nformats: [tflite, tflite@onnx2tf, onnx@litert-torch]\n")
    assert [(cell.id, cell.runs_as) for cell in made.cells] == [
        ("rio-tflite-fp32-local-t1-b1", "tflite"),
        ("rio-tflite@onnx2tf-fp32-local-t1-b1", "tflite"),
        ("rio-onnx@litert-torch-fp32-local-t1-b1", "onnx"),
    ]


def test_tools_that_no_route_has_are_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        planned("name: x\nmodels: [rio]\nformats: [tflite@onxn2tf, tflit@onnx2tf, openvino@x]\n")
    assert caught.value.mistakes == [
        "s.yaml:3: formats: unknown format 'tflit@onnx2tf'; did you mean 'tflite'?",
        "s.yaml:3: formats: unknown tool 'onxn2tf'; did you mean 'onnx2tf'?",
        "s.yaml:3: formats: unknown tool 'x'; known: ai-edge-quantizer, keras, litert-torch, "
        "onnx, onnx2tf, openvino, tensorflow, tf.lite, tf2onnx, torch, torch.jit, torch.onnx",
    ]


# ---- models that take no images ----------------------------------------------------------------


def of_tensors(text: str, generators: dict[str, Generator] | None = None) -> Inventory:
    """The inventory with a model of two inputs, and the scenario's file."""
    spec = replace(
        model("vad").spec, task="tensor", classes=(), source="onnx",
        inputs=(TensorSpec("x", (2, 8)), TensorSpec("sr", (), "int64")),
    )  # fmt: skip
    Path("s.yaml").write_text(text)
    made = Model(spec, Path(), {}, generators or {})
    return replace(INVENTORY, models={"vad": made}, known_models=("vad",))


GENERATED = {"x": Generator("normal"), "sr": Generator("integers", 16000, 16001)}


def test_the_batch_of_tensors_is_fixed_like_that_of_images() -> None:
    text = "name: x\nmodels: [vad]\nformats: [onnx]\nmatrix: {batch: [2, 8]}\n"
    inventory = of_tensors(text)
    made = plan.make_plan(config.read_scenario(Path("s.yaml")), inventory)
    assert [cell.batch for cell in made.cells] == [2]
    assert [s.reason for s in made.skipped] == ["the model's input has a fixed batch size of 2"]


def test_a_model_of_tensors_is_not_scored() -> None:
    text = "name: x\nmodels: [vad]\nformats: [onnx]\naccuracy: {dataset: val}\n"
    inventory = of_tensors(text)
    with pytest.raises(ConfigError) as raised:
        plan.make_plan(config.read_scenario(Path("s.yaml")), inventory)
    assert raised.value.mistakes == ["s.yaml:4: accuracy: vad has task tensor, which has no metric"]


def test_samples_of_tensors_are_checked_before_anything_is_built() -> None:
    text = "name: x\nmodels: [vad]\nformats: [onnx]\n"
    inventory = of_tensors(text, GENERATED)
    assert plan.dataset_notes(config.read_scenario(Path("s.yaml")), inventory) == ()
    inventory = of_tensors(text, {"x": GENERATED["x"]})
    with pytest.raises(ConfigError) as raised:
        plan.dataset_notes(config.read_scenario(Path("s.yaml")), inventory)
    assert raised.value.mistakes == ["vad: no dataset, and no `generate` for input sr"]
