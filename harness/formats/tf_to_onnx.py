"""From SavedModel and TFLite to ONNX, by tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records import ModelSpec
from . import tf_function
from .engine import check_count, positions

#: the newest that tf2onnx writes
OPSET = 18


def from_savedmodel(model: ModelSpec, source: Path) -> Any:
    """The ModelProto of the signature with the model's names."""
    import tf2onnx

    from .savedmodel import read

    function = tf_function.fixed(read(source / model.weights, model), model, in_order=True)
    graph, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    return with_names(graph, model)


def from_tflite(model: ModelSpec, source: Path) -> Any:
    """The ModelProto of a TFLite file."""
    import tf2onnx

    graph, _ = tf2onnx.convert.from_tflite(str(source / model.weights), opset=OPSET)
    return with_names(graph, model)


def with_names(graph: Any, model: ModelSpec) -> Any:
    """Inputs and outputs called as in model.yaml; those of other names are named by position.

    tf2onnx leaves inputs for what a function had captured, which nothing reads.
    """
    import onnx_ir

    named = onnx_ir.from_proto(graph)
    for value in [value for value in named.graph.inputs if not value.uses()]:
        named.graph.inputs.remove(value)
    outputs = named.graph.outputs
    check_count(len(outputs), model)
    if {value.name for value in outputs} != set(model.outputs):
        for value, name in zip(outputs, model.outputs):
            value.name = name
    inputs = {str(value.name): value for value in named.graph.inputs}
    wanted = [one.name for one in model.inputs]
    if set(map(tf_function.argument, wanted)) == set(inputs):  # of a SavedModel
        values = [inputs[tf_function.argument(name)] for name in wanted]
    else:
        values = [named.graph.inputs[at] for at in positions(wanted, list(inputs))]
    for value, name in zip(values, wanted):
        value.name = name
    return onnx_ir.to_proto(named)
