"""From an ONNX file to a TensorFlow function, by onnx2tf."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from ..records import ModelSpec, TensorSpec
from .engine import positions
from .onnx import fixed
from .tf_function import Function


def read(path: Path, model: ModelSpec) -> Function:
    """The function, with inputs and outputs laid out as in the ONNX file.

    onnx2tf turns outputs with channels to NHWC and does not say so reliably: how is seen from
    the outputs of ONNX Runtime.
    """
    import onnx
    import onnxruntime
    import onnxslim
    import tensorflow as tf

    graph = onnxslim.slim(fixed(onnx.load(str(path)), model))
    network = _converted(graph, model)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [one.name for one in model.inputs]
    places = positions(names, [one.name for one in session.get_inputs()])
    values = [_example(one) for one in model.inputs]
    wanted = session.run(list(model.outputs), dict(zip(names, values)))
    there = [output.name for output in session.get_outputs()]
    order = [there.index(name) for name in model.outputs]

    def outputs(tensors: Sequence[Any]) -> List[Any]:
        placed = [tensors[places.index(at)] for at in range(len(places))]
        found = network(placed if len(placed) > 1 else placed[0])
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        return [found[at] for at in order]

    seen = outputs([tf.constant(value) for value in values])
    turns = [turn(one.numpy(), value) for one, value in zip(seen, wanted)]

    def call(*tensors: Any) -> List[Any]:
        return [_turned(one, how) for one, how in zip(outputs(tensors), turns)]

    return Function(call, model.inputs, network.variables)


def _example(one: TensorSpec) -> np.ndarray:
    """Random numbers up to 1; integers are 0."""
    values = np.random.default_rng(0).random(one.shape)
    return np.asarray(values, one.dtype)


def _converted(graph: Any, model: ModelSpec) -> Any:
    """onnx2tf's Keras model; it rewrites the file that it is given, and wants one."""
    import onnx

    with _folder() as folder:
        path = folder / "model.onnx"
        onnx.save(graph, str(path))
        import onnx2tf

        return onnx2tf.convert(
            input_onnx_file_path=str(path),
            output_folder_path=str(folder / "out"),
            keep_ncw_or_nchw_or_ncdhw_input_names=[one.name for one in model.inputs],
            not_use_onnxsim=True,  # it is simplified already
            disable_model_save=True,
            non_verbose=True,
            verbosity="error",
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """A current folder with the images that onnx2tf would download for its own comparison."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).random((20, 128, 128, 3), np.float32)
        np.save(f"{folder}/calibration_image_sample_data_20x128x128x3_float32.npy", images)
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(here)


def turn(found: np.ndarray, wanted: np.ndarray) -> Tuple[int, ...]:
    """The order of dimensions that makes `found` most similar to `wanted`.

    Raises ValueError if their shapes fit in none.
    """
    ways: Dict[Tuple[int, ...], float] = {}
    for order in permutations(range(found.ndim)):
        turned = found.transpose(order).astype(np.float64)
        if turned.shape == wanted.shape:
            ways[order] = float(np.abs(turned - wanted.astype(np.float64)).sum())
    if not ways:
        raise ValueError(f"onnx2tf made an output of shape {found.shape}, not {wanted.shape}")
    return min(ways, key=lambda order: ways[order])


def _turned(tensor: Any, order: Tuple[int, ...]) -> Any:
    import tensorflow as tf

    return tensor if order == tuple(range(len(order))) else tf.transpose(tensor, order)
