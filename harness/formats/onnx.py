"""ONNX: exported by torch.onnx (dynamo), checked, simplified, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..records import Conversion, FormatSpec, Layer, ModelSpec, OpenTensor, Precision
from . import source as model_source
from .engine import Engine, Inspected, RuntimeOptions
from .placement import Profiled, warm_runs

OPSET = 18
PROVIDER = "CPUExecutionProvider"

SPEC = FormatSpec(
    name="onnx",
    title="ONNX Runtime",
    suffix=".onnx",
    precisions={
        "fp32": "stored and computed in fp32",
        "fp16": "stored in fp16; ONNX Runtime's x86 kernels upcast to fp32",
        "int8": "dynamic range: int8 weights, activations quantised per tensor at run time",
    },
    image="onnx",
    converter="onnx",
    conversions=(
        Conversion("pytorch", "torch.onnx (dynamo)", "onnx"),
        Conversion("onnx", "onnx", "onnx"),
    ),
    runtime="onnxruntime",
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Export, simplify and check; then halve or quantise the simplified graph.

    A graph that is ONNX already is not simplified: what is measured is the user's own.
    """
    import onnx

    is_onnx = model.source == "onnx"
    graph = onnx.load(str(source / model.weights)) if is_onnx else export(model, source)
    if precision == "fp16":
        graph = _halved(graph)
    if precision == "int8":
        graph = _quantised(graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(out))


def export(model: ModelSpec, source: Path) -> Any:
    """The simplified fp32 ModelProto with the model's own tensor names."""
    import onnx
    import onnxslim
    import torch

    network = model_source.traceable(model, source)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exported.onnx"
        torch.onnx.export(
            network,
            (model_source.example(model),),
            str(path),
            input_names=[model.input.name],
            output_names=list(model.outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
        onnx.checker.check_model(str(path), full_check=True)
        return onnxslim.slim(onnx.load(str(path)))


def _halved(graph: Any) -> Any:
    """Weights and nodes in fp16, inputs and outputs in fp32; sorted, which ORT does not do."""
    import onnx_ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    halved = onnx_ir.from_proto(convert_float_to_float16(graph, keep_io_types=True))
    halved.graph.sort()
    return onnx_ir.to_proto(halved)


def _quantised(graph: Any) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph, str(before))
        quantize_dynamic(before, after, weight_type=QuantType.QUInt8)
        return onnx.load(str(after))


def inspect(path: Path) -> Inspected:
    """Inputs and outputs as ONNX Runtime reads them; metadata as exporters write it."""
    import onnxruntime

    session = _session(path, onnxruntime.SessionOptions())
    inputs, outputs = (
        tuple(
            OpenTensor(
                tensor.name,
                tuple(side if isinstance(side, int) else side or "?" for side in tensor.shape),
                np.dtype(DTYPES.get(_kind(tensor), object)).name,
            )
            for tensor in tensors
        )
        for tensors in (session.get_inputs(), session.get_outputs())
    )
    meta = session.get_modelmeta()
    return inputs, outputs, {"producer": meta.producer_name, **meta.custom_metadata_map}


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """A session on the CPU provider only."""
    return OnnxEngine(_session(path, _settings(options)), model)


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[np.ndarray], runs: int
) -> Profiled:
    """ONNX Runtime's own profile: provider and kernel time of every node of the optimised graph."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(options)
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "ort")
        session = _session(path, settings)
        engine: Engine = OnnxEngine(session, model)
        for i in range(warm_runs(runs) + runs):
            engine.feed(inputs[i % len(inputs)])
            engine.invoke()
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return Profiled(PROVIDER, "ONNX Runtime profiling", runs, layers_of(events, runs))


def layers_of(events: Sequence[Dict[str, Any]], runs: int) -> Tuple[Layer, ...]:
    """One layer per node, in execution order: the mean of its last `runs` kernel times."""
    nodes: Dict[str, List[Dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes.setdefault(event["name"][: -len("_kernel_time")], []).append(event)
    return tuple(
        Layer(
            name=name,
            type=seen[-1]["args"]["op_name"],
            where=seen[-1]["args"]["provider"],
            ms=sum(event["dur"] for event in seen[-runs:]) / runs / 1e3,
        )
        for name, seen in nodes.items()
    )


def _settings(options: RuntimeOptions) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    return settings


def _session(path: Path, settings: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), settings, providers=[PROVIDER])


#: element types of outputs as ONNX Runtime names them
DTYPES: Dict[str, Any] = {
    "float": np.float32,
    "float16": np.float16,
    "double": np.float64,
    "bool": np.bool_,
    **{name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    **{name: np.dtype(name) for name in ("int64", "uint64")},
}


def _zeros(session: Any, model: ModelSpec) -> Dict[str, np.ndarray]:
    """An array to bind for each output; open dimensions are what the model's input makes them.

    One whose shape depends on the content of the image cannot be bound: ONNX Runtime says so.
    """
    outputs = session.get_outputs()
    if all(isinstance(side, int) for output in outputs for side in output.shape):
        return {output.name: np.zeros(output.shape, _dtype(output)) for output in outputs}
    seen = session.run(None, {model.input.name: np.zeros(model.input.shape, np.float32)})
    return {output.name: np.zeros_like(value) for output, value in zip(outputs, seen)}


def _kind(tensor: Any) -> str:
    return str(tensor.type).replace("tensor(", "").rstrip(")")


def _dtype(output: Any) -> Any:
    kind = _kind(output)
    if kind not in DTYPES:
        raise ValueError(f"output {output.name} has the unsupported type {output.type}")
    return DTYPES[kind]


class OnnxEngine:
    """Input and outputs bound once (IOBinding), so that a run copies and allocates nothing."""

    def __init__(self, session: Any, model: ModelSpec) -> None:
        import onnxruntime

        value = onnxruntime.OrtValue.ortvalue_from_numpy
        binding = session.io_binding()
        self._input = value(np.zeros(model.input.shape, np.float32))
        binding.bind_ortvalue_input(model.input.name, self._input)
        self._outputs = {name: value(zeros) for name, zeros in _zeros(session, model).items()}
        for name, output in self._outputs.items():
            binding.bind_ortvalue_output(name, output)
        self.invoke = lambda: session.run_with_iobinding(binding)

    def feed(self, tensor: np.ndarray) -> None:
        """Copy into the bound OrtValue."""
        self._input.update_inplace(tensor)

    def fetch(self) -> Dict[str, np.ndarray]:
        """The bound outputs."""
        return {name: output.numpy() for name, output in self._outputs.items()}
