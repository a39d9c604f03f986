"""Runs inside a format's image: models with tensors of any shape and type, through its runtime.

`python tensors_in_runtimes.py FOLDER FORMAT`; files that one image makes, others convert. What was
found is in FOLDER/found-FORMAT.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import formats
from harness.formats.engine import RuntimeOptions
from harness.formats.placement import placement
from harness.records import ModelSpec, TensorSpec
from harness.runner import samples

#: values of each input, several samples
Samples = list[tuple[np.ndarray, ...]]
RATE = np.array(16000, np.int64)


def spec(source: str, outputs: tuple[str, ...], *inputs: TensorSpec, **more: Any) -> ModelSpec:
    weights = more.pop("weights", f"{source}-model{formats.REGISTRY[source].SPEC.suffix}")
    return ModelSpec("m", "tensor", more.pop("module", ""), "build", weights, "", inputs, outputs,
                     (), source=source, **more)  # fmt: skip


VAD = spec(
    "onnx", ("output", "stateN", "rate"), TensorSpec("input", (1, 8)),
    TensorSpec("state", (2, 1, 4)), TensorSpec("sr", (), "int64"), weights="vad.onnx",
)  # fmt: skip
TOKENS = spec("onnx", ("y",), TensorSpec("ids", (1, 6), "int32"), weights="tokens.onnx")
PICTURE = spec(
    "onnx", ("logits",), TensorSpec("x", (1, 4, 6, 3), "uint8", "NHWC"), weights="picture.onnx"
)
NMS = spec(
    "onnx", ("boxes", "sum", "scores", "classes"), TensorSpec("x", (1, 3, 4, 6)), weights="nms.onnx"
)
TRACED = spec(
    "pytorch", ("y", "next", "scaled"), TensorSpec("x", (1, 8)), TensorSpec("state", (2, 1, 4)),
    TensorSpec("ids", (1, 6), "int64"), module="network.py", weights="weights.pt",
)  # fmt: skip
INT8 = spec("tflite", ("y",), TensorSpec("x", (1, 3, 8, 8), "int8"), weights="int8.tflite")

NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(9, 4)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.arange(36.0).reshape(9, 4))

    def forward(self, x, state, ids):
        return self.embedding(ids).sum(1), state * 2 + 1, x * 3

def build():
    return Net()
"""


def rows(count: int, *shapes: tuple[int, ...]) -> list[tuple[np.ndarray, ...]]:
    state = np.random.RandomState(1)
    return [tuple(state.rand(*shape).astype(np.float32) for shape in shapes) for _ in range(count)]


VAD_SAMPLES: Samples = [(x, s, RATE) for x, s in rows(3, (1, 8), (2, 1, 4))]
TOKEN_SAMPLES: Samples = [(np.array([[0, 1, 2, 3, n, 8]], np.int32),) for n in range(3)]
PICTURE_SAMPLES: Samples = [
    (np.arange(72, dtype=np.uint8).reshape(1, 4, 6, 3) + np.uint8(n),) for n in range(2)
]
#: scores of the model are the pixels of its first plane: so many of them are kept
NMS_SAMPLES: Samples = [
    (np.where(np.arange(72).reshape(1, 3, 4, 6) < n, 0.9, 0.1).astype(np.float32),)
    for n in (0, 2, 5)
]
TRACED_SAMPLES: Samples = [
    (x, s, ids[0].astype(np.int64))
    for (x, s), ids in zip(rows(3, (1, 8), (2, 1, 4)), TOKEN_SAMPLES, strict=True)
]


# ---- files of ONNX -----------------------------------------------------------------------------


def write_onnx(folder: Path) -> None:
    """Models as exporters leave them: open dimensions, and an initialiser among the inputs."""
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    def save(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any],
             constants: dict[str, np.ndarray]) -> None:  # fmt: skip
        made = [numpy_helper.from_array(value, key) for key, value in constants.items()]
        listed = [h.make_tensor_value_info(one.name, one.data_type, one.dims) for one in made]
        graph = h.make_graph(nodes, "g", [*inputs, *listed], outputs, made)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
        (folder / name).write_bytes(model.SerializeToString())

    value = h.make_tensor_value_info
    save("vad.onnx",
         [h.make_node("MatMul", ["input", "w"], ["output"]),
          h.make_node("Mul", ["state", "two"], ["stateN"]),
          h.make_node("Identity", ["sr"], ["rate"])],
         [value("input", T.FLOAT, ["batch", 8]), value("state", T.FLOAT, [2, "batch", 4]),
          value("sr", T.INT64, [])],
         [value("output", T.FLOAT, ["batch", 1]), value("stateN", T.FLOAT, [2, "b", 4]),
          value("rate", T.INT64, [])],
         {"w": np.ones((8, 1), np.float32), "two": np.array(2, np.float32)})  # fmt: skip
    save("tokens.onnx",
         [h.make_node("Gather", ["table", "ids"], ["y"])],
         [value("ids", T.INT32, ["batch", "length"])],
         [value("y", T.FLOAT, ["batch", "length", 4])],
         {"table": np.arange(36, dtype=np.float32).reshape(9, 4)})  # fmt: skip
    save("picture.onnx",
         [h.make_node("Cast", ["x"], ["f"], to=T.FLOAT),
          h.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
          h.make_node("ReduceMean", ["t"], ["logits"], axes=[2, 3], keepdims=0)],
         [value("x", T.UINT8, ["n", 4, 6, 3])],
         [value("logits", T.FLOAT, ["n", 3])], {})  # fmt: skip
    boxes = np.array([[(n * 10, 0, n * 10 + 8, 8) for n in range(24)]], np.float32)
    save("nms.onnx",
         [h.make_node("Slice", ["x", "zero", "one"], ["plane"]),
          h.make_node("Reshape", ["plane", "row"], ["all"]),
          h.make_node("NonMaxSuppression", ["boxes_in", "all", "most", "iou", "least"], ["kept"]),
          h.make_node("Slice", ["kept", "two", "three"], ["column"]),
          h.make_node("Reshape", ["column", "flat"], ["rows"]),
          h.make_node("Gather", ["boxes_all", "rows"], ["boxes"]),
          h.make_node("Reshape", ["all", "flat"], ["flat_scores"]),
          h.make_node("Gather", ["flat_scores", "rows"], ["scores"]),
          h.make_node("Identity", ["rows"], ["classes"]),
          h.make_node("ReduceSum", ["all"], ["sum"], keepdims=0)],
         [value("x", T.FLOAT, [1, 3, "h", "w"])],
         [value("boxes", T.FLOAT, ["k", 4]), value("sum", T.FLOAT, []),
          value("scores", T.FLOAT, ["k"]),
          value("classes", T.INT64, ["k"])],
         {"boxes_in": boxes, "boxes_all": boxes[0],
          "zero": np.array([0, 0, 0, 0]), "one": np.array([1, 1, 4, 6]),
          "row": np.array([1, 1, 24]), "flat": np.array([-1]), "most": np.array([24]),
          "iou": np.array([0.5], np.float32), "least": np.array([0.5], np.float32),
          "two": np.array([0, 2]), "three": np.array([1 << 40, 3])})  # fmt: skip


def write_int8_tflite(folder: Path) -> None:
    """A mean over the plane of each channel, quantised with its inputs and outputs."""
    import litert_torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 1, bias=False)
            with torch.no_grad():
                self.conv.weight.copy_(torch.eye(3).reshape(3, 3, 1, 1))

        def forward(self, x: Any) -> Any:
            return torch.relu(self.conv(x)).mean((2, 3))

    path = folder / "float.tflite"
    litert_torch.convert(Net().eval(), (torch.rand(1, 3, 8, 8),)).export(str(path))
    worker = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
    signature = "serving_default"
    data = [{"args_0": sample[0]} for sample in rows(8, (1, 3, 8, 8))]
    calibrated = worker.calibrate({signature: data})
    worker.quantize(calibrated).export_model(str(folder / "int8.tflite"), overwrite=True)


def write_network(folder: Path) -> None:
    import torch

    (folder / "network.py").write_text(NETWORK)
    module: dict[str, Any] = {}
    exec(NETWORK, module)
    torch.save(module["build"]().state_dict(), folder / "weights.pt")


# ---- what a runtime says -----------------------------------------------------------------------


def ran(folder: Path, name: str, model: ModelSpec, given: Samples) -> dict[str, Any]:
    """Converted, run over the samples, and profiled; or what was raised."""
    format = formats.REGISTRY[name]
    artifact = folder / f"{name}-{model.weights}{format.SPEC.suffix}"
    format.convert(model, folder, "fp32", artifact)
    options = RuntimeOptions(1, "fp32", folder)
    if name == "tflite":  # its profiler runs before the interpreter's library is loaded
        profiled = format.profile(artifact, model, options, given, 2)
    engine = format.load(artifact, model, options)
    seen = []
    for sample in given:
        engine.feed(samples.fed(sample, model, engine))
        engine.invoke()
        seen.append({key: np.array(v) for key, v in samples.outputs_of(engine, model).items()})
    if name != "tflite":
        profiled = format.profile(artifact, model, options, given, 2)
    arrays = samples.stacked(seen)
    return {
        "inputs": [[one.name, list(one.shape), one.dtype, one.layout, one.quantisation is not None]
                   for one in engine.inputs],
        "unbound": list(engine.unbound),
        "outputs": {key: [value.dtype.name, np.round(value.astype(float), 3).tolist()]
                    for key, value in arrays.items()},
        "tool": placement(profiled)[0].tool,
    }  # fmt: skip


def attempt(work: Callable[[], Any]) -> Any:
    """Its result, or what it raised."""
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(folder: Path, name: str) -> dict[str, Any]:
    write_network(folder)
    if name == "onnx":
        write_onnx(folder)
    if name == "tflite":
        write_int8_tflite(folder)
    cases = {
        "vad": (VAD, VAD_SAMPLES),
        "tokens": (TOKENS, TOKEN_SAMPLES),
        "picture": (PICTURE, PICTURE_SAMPLES),
        "nms": (NMS, NMS_SAMPLES),
        "traced": (TRACED, TRACED_SAMPLES),
        "int8": (INT8, rows(3, (1, 3, 8, 8))),
    }
    spec = formats.REGISTRY[name].SPEC
    sources = {way.source for way in spec.conversions if way.image == spec.image}
    return {
        case: attempt(lambda model=model, given=given: ran(folder, name, model, given))
        for case, (model, given) in cases.items()
        if model.source in sources
    }


if __name__ == "__main__":
    place, format_name = Path(sys.argv[1]), sys.argv[2]
    found = main(place, format_name)
    (place / f"found-{format_name}.json").write_text(json.dumps(found))
