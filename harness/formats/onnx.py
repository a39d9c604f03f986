"""ONNX: exported by torch.onnx (dynamo), checked, simplified, run by ONNX Runtime on the CPU.

From SavedModel and TFLite it is converted by tf2onnx.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..records import Conversion, FormatSpec, Layer, ModelSpec, Precision, TensorSpec
from . import source as model_source
from . import tf_to_onnx
from .engine import Arrays, Engine, RuntimeOptions, declared
from .feeds import feeds
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
        Conversion("pytorch", "torch.onnx", "onnx"),
        Conversion("onnx", "onnx", "onnx"),
        Conversion("savedmodel", "tf2onnx", "savedmodel"),
        Conversion("tflite", "tf2onnx", "savedmodel"),
    ),
    runtime="onnxruntime",
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Export, simplify and check; then halve or quantise the simplified graph.

    A graph that is ONNX already is not simplified: what is measured is the user's own, with its
    open dimensions fixed.
    """
    import onnx

    readers = {
        "pytorch": export,
        "onnx": lambda model, source: fixed(onnx.load(str(source / model.weights)), model),
        "savedmodel": tf_to_onnx.from_savedmodel,
        "tflite": tf_to_onnx.from_tflite,
    }
    graph = readers[model.source](model, source)
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
            model_source.examples(model),
            str(path),
            input_names=[one.name for one in model.inputs],
            output_names=list(model.outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
        onnx.checker.check_model(str(path), full_check=True)
        return onnxslim.slim(onnx.load(str(path)))


def fixed(graph: Any, model: ModelSpec) -> Any:
    """The graph with the inputs' open dimensions as in model.yaml; ONNX Runtime infers the rest."""
    inputs = {value.name: value.type.tensor_type.shape.dim for value in graph.graph.input}
    for one in model.inputs:
        sides = inputs.get(one.name, ())
        if len(sides) == len(one.shape):
            for side, length in zip(sides, one.shape):
                if not side.HasField("dim_value") or side.dim_value <= 0:
                    side.dim_value = length
    return graph


def _halved(graph: Any) -> Any:
    """Weights and nodes in fp16, inputs and outputs in fp32; sorted, which ORT does not do."""
    import onnx_ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with_own_scales(graph)
    halved = onnx_ir.from_proto(convert_float_to_float16(graph, keep_io_types=True))
    halved.graph.sort()
    return onnx_ir.to_proto(halved)


def with_own_scales(graph: Any) -> None:
    """Give each Resize a copy of the scales that it shares with others.

    They stay in fp32, and the converter to fp16 names what it adds for that after them.
    """
    weights = {one.name: one for one in graph.graph.initializer}
    seen = set()
    for at, node in enumerate(graph.graph.node):
        if node.op_type != "Resize" or len(node.input) < 3 or node.input[2] not in weights:
            continue
        name = node.input[2]
        if name in seen:
            own = graph.graph.initializer.add()
            own.CopyFrom(weights[name])
            own.name = node.input[2] = f"{name}_{at}"
        seen.add(name)


def _quantised(graph: Any) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph, str(before))
        quantize_dynamic(before, after, weight_type=QuantType.QUInt8)
        return onnx.load(str(after))


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """A session on the CPU provider only."""
    return OnnxEngine(_session(path, _settings(options)), model)


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """ONNX Runtime's own profile: provider and kernel time of every node of the optimised graph."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(options)
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "ort")
        session = _session(path, settings)
        engine: Engine = OnnxEngine(session, model)
        for i in range(warm_runs(runs) + runs):
            engine.feed(feeds(inputs[i % len(inputs)], model, engine.inputs))
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


#: element types as ONNX Runtime names them
DTYPES: Dict[str, Any] = {
    "float": np.float32,
    "float16": np.float16,
    "double": np.float64,
    "bool": np.bool_,
    **{name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    **{name: np.dtype(name) for name in ("int64", "uint64")},
}


def declared_inputs(session: Any, model: ModelSpec) -> Tuple[TensorSpec, ...]:
    """The model's inputs as the session declares them; initialisers are none."""
    found = {one.name: one for one in session.get_inputs()}
    names = [one.name for one in model.inputs]
    if set(found) != set(names):
        raise ValueError(
            f"the file has the inputs {', '.join(found)}, expected {', '.join(names)} (model.yaml)"
        )
    return tuple(
        declared(one, found[one.name].shape, _dtype(found[one.name], "input").name)
        for one in model.inputs
    )


def output_shapes(session: Any, inputs: Sequence[TensorSpec]) -> Dict[str, Optional[List[int]]]:
    """The shape of each output; None where it is known only after a run.

    An open dimension with the name of one of an input's is as long as that.
    """
    lengths: Dict[Any, int] = {}
    there = {one.name: one.shape for one in session.get_inputs()}
    for one in inputs:
        lengths.update(zip(there[one.name], one.shape))
    found: Dict[str, Optional[List[int]]] = {}
    for output in session.get_outputs():
        sides = [side if isinstance(side, int) else lengths.get(side) for side in output.shape]
        known = [side for side in sides if side is not None]
        found[output.name] = known if len(known) == len(sides) else None
    return found


def _kind(tensor: Any) -> str:
    return str(tensor.type).replace("tensor(", "").rstrip(")")


def _dtype(tensor: Any, what: str) -> "np.dtype[Any]":
    kind = _kind(tensor)
    if kind not in DTYPES:
        raise ValueError(f"{what} {tensor.name} has the unsupported type {tensor.type}")
    found: "np.dtype[Any]" = np.dtype(DTYPES[kind])
    return found


class OnnxEngine:
    """Inputs and outputs bound once (IOBinding), so that a run copies and allocates nothing.

    ONNX Runtime allocates an output whose shape is known only after a run; it must be released
    before the next one, which else would write into it.
    """

    def __init__(self, session: Any, model: ModelSpec) -> None:
        import onnxruntime

        value = onnxruntime.OrtValue.ortvalue_from_numpy
        self._binding = binding = session.io_binding()
        self.inputs = declared_inputs(session, model)
        self._fed = [value(np.zeros(one.shape, one.dtype)) for one in self.inputs]
        for one, bound in zip(self.inputs, self._fed):
            binding.bind_ortvalue_input(one.name, bound)
        shapes = output_shapes(session, self.inputs)
        self.unbound = tuple(name for name, shape in shapes.items() if shape is None)
        #: in which outputs are bound: those that are bound again come last
        self._order = [*(name for name in shapes if name not in self.unbound), *self.unbound]
        self._outputs: Dict[str, Any] = {}
        for output in session.get_outputs():
            shape, dtype = shapes[output.name], _dtype(output, "output")
            if shape is None:
                self._outputs[output.name] = None
            else:
                self._outputs[output.name] = value(np.zeros(shape, dtype))
                binding.bind_ortvalue_output(output.name, self._outputs[output.name])
        self.invoke = lambda: session.run_with_iobinding(binding)

    def feed(self, tensors: Arrays) -> None:
        """Copy into the bound OrtValues; release what the last run allocated."""
        for name in self.unbound:
            self._binding.bind_output(name, "cpu")
        for bound, tensor in zip(self._fed, tensors):
            bound.update_inplace(tensor)

    def fetch(self) -> Dict[str, np.ndarray]:
        """The bound outputs, and those that the last run allocated."""
        found = dict(self._outputs)
        if self.unbound:
            found = dict(zip(self._order, self._binding.get_outputs()))
        return {name: output.numpy() for name, output in found.items()}
