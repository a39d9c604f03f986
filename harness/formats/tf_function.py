"""A TensorFlow function with a model's own names: what every kind of TensorFlow file becomes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..records import Layer, ModelSpec, TensorSpec
from .engine import Arrays, RuntimeOptions, check_count, declared
from .feeds import feeds
from .placement import Profiled, warm_runs

if TYPE_CHECKING:
    import tensorflow as tf

PLACE = "CPU"
SIGNATURE = "serving_default"
#: an operator's event in a trace: `node name:operator`
KERNEL = re.compile(r"^([^:]+):([A-Za-z_]\w*)$")


@dataclass(frozen=True)
class Function:
    """What a file computes: `call` takes the model's inputs, in its order, as `inputs` says."""

    call: Callable[..., Any]
    inputs: Tuple[TensorSpec, ...]
    #: has the variables that `call` uses
    kept: Any


#: how a kind of file is read
Read = Callable[[Path, ModelSpec], Function]


def as_declared(model: ModelSpec, tensors: Sequence[Any]) -> Tuple[TensorSpec, ...]:
    """The model's inputs as TensorFlow's or Keras' tensors declare them, in the same order."""
    return tuple(
        declared(one, _sides(tensor, one), getattr(tensor.dtype, "name", str(tensor.dtype)))
        for one, tensor in zip(model.inputs, tensors)
    )


def _sides(tensor: Any, one: TensorSpec) -> Sequence[Any]:
    """Those of an unknown rank are all open."""
    shape = tensor.shape
    return (None,) * len(one.shape) if getattr(shape, "rank", 0) is None else tuple(shape)


def argument(name: str) -> str:
    """The name of an input as TensorFlow allows it."""
    plain = re.sub(r"\W", "_", name)
    return plain if re.match("[A-Za-z]", plain) else f"x{plain}"


def named(outputs: Any, model: ModelSpec) -> Dict[str, "tf.Tensor"]:
    """A function's outputs by the model's names: by name if it has these, else by position."""
    if isinstance(outputs, Mapping):
        if set(model.outputs) <= set(outputs):
            return {name: outputs[name] for name in model.outputs}
        if len(outputs) != 1:
            there, wanted = ", ".join(map(str, outputs)), ", ".join(model.outputs)
            raise ValueError(f"the model has the outputs {there}, expected {wanted} (model.yaml)")
        outputs = list(outputs.values())
    found: Sequence[Any] = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    check_count(len(found), model)
    return dict(zip(model.outputs, found))


def fixed(function: Function, model: ModelSpec, *, in_order: bool = False) -> Any:
    """As a tf.function of fixed shapes, which returns its outputs by name, or a list.

    TensorFlow sorts names.
    """
    import tensorflow as tf

    def call(*tensors: Any) -> Any:
        found = named(function.call(*tensors), model)
        return list(found.values()) if in_order else found

    signature = [tf.TensorSpec(one.shape, one.dtype, argument(one.name)) for one in function.inputs]
    return tf.function(call, input_signature=signature)


def save(function: Function, model: ModelSpec, out: Path) -> None:
    """Write a SavedModel whose serving signature has the model's names and fixed shapes."""
    import tensorflow as tf

    module = tf.Module()
    module.kept = function.kept
    module.serve = fixed(function, model)
    tf.saved_model.save(module, str(out), signatures={SIGNATURE: module.serve})


def keep_to(threads: int) -> None:
    """Operators run one after another, each in so many threads; set before TensorFlow starts."""
    import tensorflow as tf

    settings = tf.config.threading
    try:
        settings.set_intra_op_parallelism_threads(threads)
        settings.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # it has started: another pass of this process has set them
        return


def load(read: Read, path: Path, model: ModelSpec, options: RuntimeOptions) -> "TfEngine":
    """What `read` finds in the file, traced once for the model's shapes."""
    keep_to(options.threads)
    return TfEngine(read(path, model), model)


def profile(
    read: Read,
    path: Path,
    model: ModelSpec,
    options: RuntimeOptions,
    inputs: Sequence[Arrays],
    runs: int,
) -> Profiled:
    """Operators of the executed graph from TensorFlow's profiler, each with its kernel's time."""
    import tensorflow as tf

    engine = load(read, path, model, options)
    fed = [feeds(one, model, engine.inputs) for one in inputs]

    def run(times: int = runs) -> None:
        for i in range(times):
            engine.feed(fed[i % len(fed)])
            engine.invoke()

    run(warm_runs(runs))
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=3, python_tracer_level=0, device_tracer_level=0
    )
    return Profiled(PLACE, "TensorFlow profiler", runs, layers_of(_traced(run, options), runs))


def _traced(run: Callable[[], None], options: Any) -> List[Tuple[str, str, float]]:
    """Plane, name and milliseconds of every event while `run` runs."""
    import tempfile

    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, options)
        run()
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = XSpace.FromString(path.read_bytes())
    return [
        (plane.name, plane.event_metadata[event.metadata_id].name, event.duration_ps / 1e9)
        for plane in space.planes
        for line in plane.lines
        for event in line.events
    ]


def layers_of(events: Sequence[Tuple[str, str, float]], runs: int) -> Tuple[Layer, ...]:
    """One layer per operator of the graph: its mean time per run, and the plane that ran it."""
    times: Dict[Tuple[str, str], float] = {}
    for plane, name, ms in events:
        if KERNEL.match(name):
            times[plane, name] = times.get((plane, name), 0.0) + ms / runs
    return tuple(
        Layer(node, operator, plane.rpartition(":")[2], ms)
        for (plane, name), ms in times.items()
        for node, _, operator in [name.rpartition(":")]
    )


class TfEngine:
    """A traced function; TensorFlow allocates all outputs in every run."""

    def __init__(self, function: Function, model: ModelSpec) -> None:
        self._kept = function.kept
        self._function = fixed(function, model).get_concrete_function()
        shapes = self._function.structured_outputs
        self.inputs = function.inputs
        self.unbound = tuple(
            name for name in model.outputs if not shapes[name].shape.is_fully_defined()
        )
        self._fed: List[Any] = []
        self._outputs: Mapping[str, Any] = {}

    def feed(self, tensors: Arrays) -> None:
        """Copy into tensors of TensorFlow's own, which cannot be changed later."""
        import tensorflow as tf

        self._fed = [tf.constant(tensor) for tensor in tensors]

    def invoke(self) -> None:
        """Call the function; on the CPU it returns when the outputs are there."""
        self._outputs = self._function(*self._fed)

    def fetch(self) -> Dict[str, np.ndarray]:
        """The tensors of the last run, without a copy."""
        return {name: value.numpy() for name, value in self._outputs.items()}
