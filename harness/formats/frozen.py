"""Frozen TensorFlow 1 graphs, `.pb`, run by TensorFlow: the reference of what they become.

Such a graph does not say what its inputs and outputs are: they are in model.yaml, as `name` or
`name:0`.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any, Sequence, Tuple

from ..records import Conversion, FormatSpec, ModelSpec, Precision
from . import tf_function
from .tf_function import Function

#: nodes that produce no output of a model
NO_OUTPUTS = ("NoOp", "Assert", "Const", "Placeholder")

SPEC = FormatSpec(
    name="frozen",
    title="TF frozen graph",
    suffix=".pb",
    precisions={"fp32": "stored and computed in fp32"},
    lacks={
        "fp16": "a frozen graph has the precision that it was built with",
        "int8": "TensorFlow quantises when it converts to TFLite",
    },
    image="savedmodel",
    converter="frozen",
    conversions=(Conversion("frozen", "tensorflow", "savedmodel"),),
    runtime="tensorflow",
    kinds=("linux",),
    architectures=("x86_64",),  # tensorflow-cpu has no other wheels
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Take the file as it is, once its inputs and outputs are found."""
    read(source / model.weights, model)
    shutil.copyfile(source / model.weights, out)


def read(path: Path, model: ModelSpec) -> Function:
    """The graph between the model's tensors as a function; it has no variables."""
    import tensorflow as tf

    graph = _graph(path)
    v1 = tf.compat.v1
    function = v1.wrap_function(lambda: v1.import_graph_def(graph, name=""), [])
    known = {operation.name for operation in function.graph.get_operations()}
    names = [tensor_name(name) for name in (*(one.name for one in model.inputs), *model.outputs)]
    if missing := [name for name in names if name.rpartition(":")[0] not in known]:
        inputs, outputs = ends(graph)
        raise ValueError(
            f"the graph has no {', '.join(missing)} (model.yaml); its placeholders are "
            f"{', '.join(node.name for node in inputs)}, its last nodes "
            f"{', '.join(node.name for node in outputs)}"
        )
    tensors = [function.graph.as_graph_element(name) for name in names]
    feeds, fetches = tensors[: len(model.inputs)], tensors[len(model.inputs) :]
    call = function.prune(feeds, fetches)
    return Function(lambda *fed: call(*fed), tf_function.as_declared(model, feeds), ())


def _graph(path: Path) -> Any:
    from tensorflow.core.framework.graph_pb2 import GraphDef

    return GraphDef.FromString(path.read_bytes())


def tensor_name(name: str) -> str:
    """`scores` is the first output of the node `scores`."""
    return name if ":" in name else f"{name}:0"


def ends(graph: Any) -> Tuple[Sequence[Any], Sequence[Any]]:
    """Placeholders, and nodes that no other node reads; one that waits for them does not."""
    read = {
        name.partition(":")[0]
        for node in graph.node
        for name in node.input
        if not name.startswith("^")
    }
    inputs = [node for node in graph.node if node.op == "Placeholder"]
    last = [node for node in graph.node if node.name not in read and node.op not in NO_OUTPUTS]
    return inputs, last


load, profile = partial(tf_function.load, read), partial(tf_function.profile, read)
