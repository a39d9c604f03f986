"""TFLite by LiteRT: converted from PyTorch by litert-torch and quantised by the AI Edge quantizer,
or converted from a SavedModel, and quantised, by TensorFlow.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

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
from ..serial import from_json, to_json
from . import litert_c, tf_function
from . import source as model_source
from .engine import (
    Arrays,
    Engine,
    RuntimeOptions,
    check_count,
    declared,
    positions,
)
from .feeds import dequantised, feeds
from .placement import Profiled, warm_runs

SPEC = FormatSpec(
    name="tflite",
    title="TFLite (LiteRT)",
    suffix=".tflite",
    precisions={
        "fp32": "stored and computed in fp32 (XNNPACK)",
        "fp16": "stored in fp16; XNNPACK's x86 kernels upcast to fp32 at load",
        "int8": "dynamic range: int8 weights per channel, activations quantised at run time",
    },
    image="tflite",
    converter="tflite",
    conversions=(
        Conversion("pytorch", "litert-torch", "tflite"),
        Conversion("tflite", "ai-edge-quantizer", "tflite"),
        Conversion("savedmodel", "tf.lite", "savedmodel"),
    ),
    runtime="ai_edge_litert",
    imports=("ai_edge_litert.interpreter",),
)


XNNPACK = "XNNPACK"
BUILTIN = "TFLite's own kernels"
DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Node:
    """A node of the interpreter's graph, with the numbers of its tensors."""

    index: int
    type: str
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Lower the fp32 module to a flatbuffer, then store its weights in the precision asked for.

    A TFLite file is taken as it is. TensorFlow converts and quantises at once.
    """
    if model.source == "savedmodel":
        out.write_bytes(_from_savedmodel(model, source / model.weights, precision))
        return
    if model.source == "tflite":
        shutil.copyfile(source / model.weights, out)
    else:
        import litert_torch

        network = model_source.traceable(model, source)
        litert_torch.convert(network, model_source.examples(model)).export(str(out))
    if precision != "fp32":
        _quantise(out, precision)


def _from_savedmodel(model: ModelSpec, path: Path, precision: Precision) -> bytes:
    """Converted between the model's own tensors, with its outputs in their order."""
    import tensorflow as tf

    from .savedmodel import read

    function = tf_function.fixed(read(path, model), model, in_order=True)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], function
    )
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    return _with_names(converter.convert(), model)


def _with_names(content: bytes, model: ModelSpec) -> bytes:
    """Tensors called as in model.yaml, which TensorFlow calls `Identity_1` and the like."""
    from tensorflow.lite.tools import flatbuffer_utils

    file = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = file.subgraphs[0]
    check_count(len(graph.outputs), model)
    for at, name in zip(
        (*graph.inputs, *graph.outputs), (*(one.name for one in model.inputs), *model.outputs)
    ):
        graph.tensors[at].name = name.encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))


def _quantise(path: Path, precision: Precision) -> None:
    from ai_edge_quantizer import qtyping, quantizer, recipe

    worker = quantizer.Quantizer(str(path))
    if precision == "int8":
        worker.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    else:
        worker.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(
                    num_bits=16, dtype=qtyping.TensorDataType.FLOAT
                ),
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            algorithm_key="float_casting",
        )
    worker.quantize().export_model(str(path), overwrite=True)


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """LiteRT's interpreter with its default CPU delegate, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    return InterpreterEngine(Interpreter(str(path), num_threads=options.threads), model)


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """LiteRT's profiler times, if it reports the same nodes as the measured interpreter."""
    import ai_edge_litert

    package = Path(ai_edge_litert.__file__).parent
    events: Sequence[Sequence[litert_c.Event]] = ()
    missing = ""
    try:  # before the interpreter's library is loaded: both have symbols of the same names
        names, found = litert_c.in_child(lambda: _names_and_inputs(path, model))
        specs = tuple(from_json(TensorSpec, one) for one in found)
        fed = [feeds(inputs[i % len(inputs)], model, specs) for i in range(runs)]
        tensors = [dict(zip(names, one)) for one in fed]
        events = litert_c.events(package, path, options.threads, tensors, warm_runs(runs))
    except litert_c.ProfilerMissing as error:
        missing = str(error)
    from ai_edge_litert.interpreter import Interpreter

    partitions = profile_interpreter(Interpreter(str(path), num_threads=options.threads))
    if events:
        try:
            layers = timed_layers(events, partitions.layers)
            return Profiled(XNNPACK, "LiteRT's profiler (CompiledModel)", len(events), layers)
        except litert_c.ProfilerMissing as error:
            missing = str(error)
    return replace(partitions, tool=f"{partitions.tool}; no times: {missing}")


def _names_and_inputs(path: Path, model: ModelSpec) -> Any:
    """The file's names of the model's inputs, and how it declares them; as JSON."""
    from ai_edge_litert.interpreter import Interpreter

    details, specs = zip(*declared_inputs(Interpreter(str(path)), model))
    return [[detail["name"] for detail in details], to_json(specs)]


def timed_layers(
    events: Sequence[Sequence[litert_c.Event]], partitions: Sequence[Layer]
) -> Tuple[Layer, ...]:
    """XNNPACK's operators, and the nodes outside of it; means over the runs.

    XNNPACK numbers its operators per partition. Raises ProfilerMissing if runs
    differ, or if the nodes outside of it differ from the interpreter's.
    """
    kinds = (litert_c.OPERATOR, litert_c.DELEGATE_OPERATOR)
    kept = [[event for event in run if event.type in kinds] for run in events]
    order = [[(e.type, e.tag, e.number) for e in run] for run in kept]
    if any(other != order[0] for other in order):
        raise litert_c.ProfilerMissing("operators differ between runs")
    layers, partition = [], 0
    for at, event in enumerate(kept[0]):
        ms = sum(run[at].us for run in kept) / len(kept) / 1e3
        if event.type == litert_c.OPERATOR:
            layers.append(Layer(f"node {event.number}", event.tag, BUILTIN, ms))
        else:
            partition += event.number == 0
            name = f"partition {partition}, operator {event.number}"
            layers.append(Layer(name, event.tag, XNNPACK, ms))
    here, there = (
        sorted(layer.type for layer in of if layer.where == BUILTIN) for of in (layers, partitions)
    )
    if here != there:
        raise litert_c.ProfilerMissing(f"nodes outside of XNNPACK are {here}, expected {there}")
    return tuple(layers)


def profile_interpreter(interpreter: Any) -> Profiled:
    """Nodes inside and outside the delegate's partitions; this interpreter reports no times.

    Shared by LiteRT and tflite-runtime. Nothing is run: the partitions are made at allocation.
    """
    interpreter.allocate_tensors()
    return Profiled(XNNPACK, "partitions of the TFLite delegate", 0, layers_of(_nodes(interpreter)))


def layers_of(nodes: Sequence[Node]) -> Tuple[Layer, ...]:
    """Every node of the model, and whether it is in a partition.

    The interpreter lists the model's nodes and, after them, one `DELEGATE` per
    partition. A partition contains the transitive producers of its outputs, up to its inputs.
    """
    real = [node for node in nodes if node.type != DELEGATE]
    producer = {tensor: node for node in real for tensor in node.outputs}
    taken: Set[int] = set()
    for partition in (node for node in nodes if node.type == DELEGATE):
        bounds, wanted = set(partition.inputs), list(partition.outputs)
        while wanted:
            node = producer.get(wanted.pop())
            if node is not None and node.index not in taken:
                taken.add(node.index)
                wanted.extend(t for t in node.inputs if t not in bounds)
    return tuple(
        Layer(f"node {n.index}", n.type, XNNPACK if n.index in taken else BUILTIN) for n in real
    )


def _nodes(interpreter: Any) -> List[Node]:
    """`_get_ops_details` is private, but the only way to get the delegate's partitions."""
    return [
        Node(
            op["index"],
            op["op_name"],
            tuple(int(t) for t in op["inputs"]),
            tuple(int(t) for t in op["outputs"]),
        )
        for op in interpreter._get_ops_details()
    ]


def declared_inputs(interpreter: Any, model: ModelSpec) -> List[Tuple[Dict[str, Any], TensorSpec]]:
    """The interpreter's details of each of the model's inputs, and what they declare."""
    details = interpreter.get_input_details()
    names = [one.name for one in model.inputs]
    found = []
    for at, one in zip(positions(names, [detail["name"] for detail in details]), model.inputs):
        detail = details[at]
        dtype, scale = np.dtype(detail["dtype"]), quantisation_of(detail)
        found.append((detail, declared(one, _signature(detail), dtype.name, scale)))
    return found


def quantisation_of(detail: Dict[str, Any]) -> Optional[Quantisation]:
    """Scale and zero point of a whole tensor of integers; None if it has none."""
    scale, zero_point = detail["quantization"]
    whole = np.dtype(detail["dtype"]).kind in "iu"
    return Quantisation(float(scale), int(zero_point)) if whole and scale else None


def _signature(detail: Dict[str, Any]) -> List[int]:
    """The declared shape; -1 where it is open. Old runtimes do not tell."""
    return [int(side) for side in detail.get("shape_signature", detail["shape"])]


class InterpreterEngine:
    """Shared by LiteRT and tflite-runtime; the converter preserves the order of outputs."""

    def __init__(self, interpreter: Any, model: ModelSpec) -> None:
        pairs = declared_inputs(interpreter, model)
        self.inputs = tuple(one for _, one in pairs)
        self._fed = [detail["index"] for detail, _ in pairs]
        for detail, one in pairs:
            if tuple(detail["shape"]) != one.shape:
                interpreter.resize_tensor_input(detail["index"], one.shape)
        interpreter.allocate_tensors()
        details = interpreter.get_output_details()
        check_count(len(details), model)
        order = positions(model.outputs, [one["name"] for one in details], "outputs")
        self._outputs = {name: details[at] for name, at in zip(model.outputs, order)}
        self.unbound = _unbound([detail for detail, _ in pairs], self._outputs)
        self._interpreter = interpreter
        self.invoke = interpreter.invoke

    def feed(self, tensors: Arrays) -> None:
        """Copy into the input tensors."""
        for index, tensor in zip(self._fed, tensors):
            self._interpreter.set_tensor(index, tensor)

    def fetch(self) -> Dict[str, np.ndarray]:
        """Copies of the output tensors: the interpreter does not run while a view exists."""
        return {
            name: self._real(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._outputs.items()
        }

    def _real(self, values: np.ndarray, detail: Dict[str, Any]) -> np.ndarray:
        how = quantisation_of(detail)
        return dequantised(values, how) if how else values


def _unbound(inputs: Sequence[Dict[str, Any]], outputs: Dict[str, Any]) -> Tuple[str, ...]:
    """Outputs of an open shape, unless it may follow from that of an open input."""
    if any(-1 in _signature(detail) for detail in inputs):
        return ()
    return tuple(name for name, detail in outputs.items() if -1 in _signature(detail))
