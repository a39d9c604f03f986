"""Keras models, `.keras` and `.h5`, run by Keras on TensorFlow: the reference of what they become.

Loading one may run code of its author (Lambda layers): it happens only inside the container.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from ..records import Conversion, FormatSpec, ModelSpec, Precision
from . import tf_function
from .engine import positions
from .tf_function import Function

HDF5 = b"\x89HDF\r\n\x1a\n"

SPEC = FormatSpec(
    name="keras",
    title="Keras",
    suffix=".keras",
    precisions={"fp32": "stored and computed in fp32"},
    lacks={
        "fp16": "a Keras model has the precision that it was built with",
        "int8": "Keras quantises layers that were built for it only",
    },
    image="savedmodel",
    converter="keras",
    conversions=(Conversion("keras", "keras", "savedmodel"),),
    runtime="keras",
    imports=("tensorflow",),
    kinds=("linux",),
    architectures=("x86_64",),  # tensorflow-cpu has no other wheels
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Take the file as it is, once it is known to load."""
    read(source / model.weights, model)
    shutil.copyfile(source / model.weights, out)


def read(path: Path, model: ModelSpec) -> Function:
    """The network in inference mode."""
    network = _network(path)
    names = [_name(tensor) for tensor in network.inputs]
    order = positions([one.name for one in model.inputs], names)
    inputs = tf_function.as_declared(model, [network.inputs[at] for at in order])

    def call(*tensors: Any) -> Any:
        placed = [tensors[order.index(at)] for at in range(len(order))]
        return network(placed if len(placed) > 1 else placed[0], training=False)

    return Function(call, inputs, network)


def _name(tensor: Any) -> str:
    return str(tensor.name).partition(":")[0]


def _network(path: Path) -> Any:
    """Loaded by the Keras that wrote it: 2 and 3 do not read each other's layers alike."""
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5)) == HDF5
    if not is_hdf5:
        import keras

        return keras.saving.load_model(str(path), compile=False, safe_mode=False)
    with tempfile.TemporaryDirectory() as folder:  # the suffix decides how a file is read
        link = Path(folder) / "model.h5"
        link.symlink_to(path.resolve())
        package = _package(_written_by(link))
        return package.models.load_model(str(link), compile=False, safe_mode=False)


def _written_by(path: Path) -> str:
    """The version of Keras in an HDF5 file. Raises ValueError if it has only weights."""
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("the file has weights without their model: save it with model.save()")
        version = file.attrs.get("keras_version", "2")
    return version.decode() if isinstance(version, bytes) else str(version)


def _package(version: str) -> Any:
    if version.startswith("3"):
        import keras

        return keras
    import tf_keras

    return tf_keras


load, profile = partial(tf_function.load, read), partial(tf_function.profile, read)
