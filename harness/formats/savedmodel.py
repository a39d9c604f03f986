"""TF SavedModel: converted from ONNX by onnx2tf, run by TensorFlow on the CPU.

What bench converts has one serving signature with the names and layouts of model.yaml, NCHW where
that says so: a drop-in for every other format. Inside, onnx2tf's graph computes in NHWC, behind
one transposition of the input and one of each output that has channels.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from ..records import Conversion, FormatSpec, ModelSpec, Precision
from . import frozen, keras, onnx_to_tf, tf_function
from .tf_function import SIGNATURE, Function, argument

SPEC = FormatSpec(
    name="savedmodel",
    title="TF SavedModel",
    suffix=".savedmodel",
    precisions={"fp32": "stored and computed in fp32"},
    lacks={
        "fp16": "TensorFlow has no fp16 kernels for the CPU that are faster than fp32",
        "int8": "TensorFlow quantises when it converts to TFLite",
    },
    image="savedmodel",
    converter="savedmodel",
    conversions=(
        Conversion("savedmodel", "tensorflow", "savedmodel"),
        Conversion("onnx", "onnx2tf", "savedmodel"),
        Conversion("keras", "keras", "savedmodel"),
        Conversion("frozen", "tensorflow", "savedmodel"),
    ),
    runtime="tensorflow",
    kinds=("linux",),
    architectures=("x86_64",),  # tensorflow-cpu has no other wheels
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Write a SavedModel into the folder `out`; one that is there already is taken as it is."""
    path = source / model.weights
    if model.source == "savedmodel":
        read(path, model)
        shutil.copytree(path, out)
        return
    readers: Dict[str, Callable[[Path, ModelSpec], Function]] = {
        "onnx": onnx_to_tf.read,
        "keras": keras.read,
        "frozen": frozen.read,
    }
    tf_function.save(readers[model.source](path, model), model, out)


def read(path: Path, model: ModelSpec) -> Function:
    """The signature with the model's names, `serving_default` if that has them.

    Raises ValueError with all signatures if none has these names.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    known = dict(loaded.signatures)
    for name in sorted(known, key=lambda name: name != SIGNATURE):
        function = known[name]
        specs, outputs = function.structured_input_signature[1], function.structured_outputs
        keys = _keys(list(specs), [one.name for one in model.inputs])
        if keys and (set(model.outputs) <= set(outputs) or len(outputs) == len(model.outputs) == 1):
            inputs = tf_function.as_declared(model, [specs[key] for key in keys])
            return Function(_by_keyword(function, keys), inputs, loaded)
    there = "; ".join(
        f"{name}: {', '.join(one.structured_input_signature[1])} to "
        f"{', '.join(sorted(one.structured_outputs))}"
        for name, one in known.items()
    )
    raise ValueError(
        f"no signature leads from {', '.join(one.name for one in model.inputs)} to "
        f"{', '.join(model.outputs)} (model.yaml); "
        f"the SavedModel has {there or 'none'}"
    )


load, profile = partial(tf_function.load, read), partial(tf_function.profile, read)


def _by_keyword(function: Any, keys: Sequence[str]) -> Callable[..., Any]:
    return lambda *tensors: function(**dict(zip(keys, tensors)))


def _keys(keys: Sequence[str], names: Sequence[str]) -> List[str]:
    """The signature's own names of the model's inputs; empty if it has others."""
    if len(keys) == len(names) == 1:
        return list(keys)
    found = [next((key for key in keys if key in (name, argument(name))), "") for name in names]
    return found if sorted(found) == sorted(keys) else []
