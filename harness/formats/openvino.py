"""OpenVINO IR: converted from PyTorch by OpenVINO's own frontend, run on its CPU plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..records import (
    Conversion,
    FormatSpec,
    Layer,
    ModelSpec,
    Precision,
    Quantisation,
    TensorSpec,
)
from ..serial import dumps, from_json
from . import source as model_source
from .engine import Arrays, Engine, RuntimeOptions, check_count, declared, positions
from .feeds import dequantised, feeds
from .placement import Profiled, warm_runs
from .tflite_file import quantisations

PLUGIN = "CPU"
#: of quantised inputs and outputs, which the IR lacks
SCALES = "quantisation.json"
#: kinds of files whose tensors have names
NAMED = ("onnx", "tflite", "savedmodel")

SPEC = FormatSpec(
    name="openvino",
    title="OpenVINO",
    suffix=".openvino",
    precisions={
        "fp32": "stored and computed in fp32",
        "fp16": "stored in fp16, computed in fp32 (inference precision hint)",
    },
    lacks={"int8": "OpenVINO quantises convolutions only with calibration (NNCF), not dynamically"},
    image="openvino",
    converter="openvino",
    conversions=(
        Conversion("pytorch", "openvino", "openvino"),
        Conversion("onnx", "openvino", "openvino"),
        Conversion("tflite", "openvino", "openvino"),
        Conversion("torchscript", "openvino", "openvino"),
        Conversion("savedmodel", "openvino", "openvino"),
    ),
    runtime="openvino",
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Write `model.xml` and `model.bin` into the folder `out`."""
    import openvino

    graph = _named(model, source) if model.source in NAMED else _traced(model, source)
    out.mkdir()
    openvino.save_model(graph, out / "model.xml", compress_to_fp16=precision == "fp16")
    if model.source == "tflite":
        names = [one.name for one in model.inputs]
        found = quantisations(source / model.weights, names, model.outputs)
        (out / SCALES).write_text(dumps(found), encoding="utf-8")


def _traced(model: ModelSpec, source: Path) -> Any:
    """From a PyTorch module, whose inputs and outputs have an order and no names."""
    import openvino

    if model.source == "torchscript":
        import torch

        network = torch.jit.load(str(source / model.weights), map_location="cpu").float().eval()
    else:
        network = model_source.traceable(model, source)
    examples = model_source.examples(model)
    graph = openvino.convert_model(
        network,
        example_input=examples if len(examples) > 1 else examples[0],
        input=[(list(one.shape), np.dtype(one.dtype).type) for one in model.inputs],
    )
    check_count(len(graph.outputs), model)
    for name, output in zip(model.outputs, graph.outputs):
        output.get_tensor().set_names({name})
    for one, port in zip(model.inputs, graph.inputs):
        port.get_tensor().set_names({one.name})
    return graph


def _named(model: ModelSpec, source: Path) -> Any:
    """From a file whose tensors have names; open dimensions of the inputs are fixed."""
    import openvino

    graph = openvino.convert_model(source / model.weights)
    ports = ordered(graph.inputs, [one.name for one in model.inputs])
    pairs = list(zip(ports, model.inputs))
    graph.reshape({port: list(as_declared(port, one).shape) for port, one in pairs})
    for port, one in pairs:
        port.get_tensor().set_names({one.name})
    for port, name in zip(ordered(graph.outputs, model.outputs, "outputs"), model.outputs):
        port.get_tensor().set_names({name})
    return graph


def ordered(ports: Sequence[Any], names: Sequence[str], what: str = "inputs") -> List[Any]:
    """The port of each of the model's tensors."""
    found = [
        next((name for name in names if name in port.names), min(port.names, default=f"#{at}"))
        for at, port in enumerate(ports)
    ]
    return [ports[at] for at in positions(names, found, what)]


def as_declared(port: Any, one: TensorSpec, scale: Optional[Quantisation] = None) -> TensorSpec:
    """The model's input as OpenVINO declares it."""
    sides = [side.get_length() if side.is_static else None for side in port.partial_shape]
    dtype = np.dtype(port.element_type.to_dtype())
    return declared(one, sides, dtype.name, scale if dtype.kind in "iu" else None)


def _scales(path: Path) -> Dict[str, Quantisation]:
    """Of the inputs and outputs of a model that was quantised before its conversion."""
    file = path / SCALES
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: from_json(Quantisation, one) for name, one in found.items()}


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """Compile for the CPU: latency hint, one stream, fp32 arithmetic, a fixed number of threads."""
    return OpenvinoEngine(_compiled(path, options), model, _scales(path))


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """OpenVINO's performance counters: primitive and time of every node of the compiled model."""
    compiled = _compiled(path, options, {"PERF_COUNT": True})
    engine = OpenvinoEngine(compiled, model, _scales(path))
    counted: List[Any] = []
    for i in range(warm_runs(runs) + runs):
        engine.feed(feeds(inputs[i % len(inputs)], model, engine.inputs))
        engine.invoke()
        if i >= warm_runs(runs):
            counted.append(engine.counters())
    where = ",".join(compiled.get_property("EXECUTION_DEVICES"))
    return Profiled(PLUGIN, "OpenVINO performance counters", runs, layers_of(counted, where))


def layers_of(counted: Sequence[Any], where: str) -> Tuple[Layer, ...]:
    """One layer per executed node; nodes that were optimised away are omitted."""
    times: Dict[str, float] = {}
    types: Dict[str, str] = {}
    for info in (info for infos in counted for info in infos):
        if str(info.status).endswith("EXECUTED"):
            ms = info.real_time.total_seconds() * 1e3
            times[info.node_name] = times.get(info.node_name, 0.0) + ms / len(counted)
            types[info.node_name] = f"{info.node_type} ({info.exec_type})"
    return tuple(Layer(name, types[name], where, ms) for name, ms in times.items())


def _compiled(path: Path, options: RuntimeOptions, more: Optional[Dict[str, Any]] = None) -> Any:
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return openvino.Core().compile_model(path / "model.xml", PLUGIN, {**settings, **(more or {})})


class OpenvinoEngine:
    """One infer request whose input tensors share memory with numpy arrays.

    OpenVINO allocates an output whose shape is known only after a run.
    """

    def __init__(self, compiled: Any, model: ModelSpec, scales: Dict[str, Quantisation]) -> None:
        import openvino

        request = compiled.create_infer_request()
        ports = ordered(compiled.inputs, [one.name for one in model.inputs])
        self._scales = scales
        self.inputs = tuple(
            as_declared(port, one, scales.get(one.name)) for port, one in zip(ports, model.inputs)
        )
        self._arrays = [np.zeros(one.shape, one.dtype) for one in self.inputs]
        for port, array in zip(ports, self._arrays):
            request.set_tensor(port, openvino.Tensor(array, shared_memory=True))
        static = {
            name for one in compiled.outputs if one.partial_shape.is_static for name in one.names
        }
        self.unbound = tuple(name for name in model.outputs if name not in static)
        self._outputs = {name: request.get_tensor(name) for name in model.outputs}
        self._request = request

    def feed(self, tensors: Arrays) -> None:
        """Copy into the shared arrays."""
        for array, tensor in zip(self._arrays, tensors):
            array[...] = tensor

    def invoke(self) -> None:
        """Start and wait, as OpenVINO's own benchmark_app does."""
        self._request.start_async()
        self._request.wait()

    def fetch(self) -> Dict[str, np.ndarray]:
        """Views of the request's output tensors, or the real values of quantised ones."""
        self._outputs.update((name, self._request.get_tensor(name)) for name in self.unbound)
        return {name: self._real(name, tensor.data) for name, tensor in self._outputs.items()}

    def _real(self, name: str, values: np.ndarray) -> np.ndarray:
        how = self._scales.get(name)
        return dequantised(values, how) if how and values.dtype.kind in "iu" else values

    def counters(self) -> Any:
        """`ProfilingInfo` of every node in the last run; needs PERF_COUNT."""
        return self._request.profiling_info
