"""TFLite by tflite-runtime 2.14, its last release, for boards that only have it."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from ..records import FormatSpec, ModelSpec
from . import tflite
from .engine import Arrays, Engine, RuntimeOptions
from .placement import Profiled

SPEC = FormatSpec(
    name="tflite-runtime",
    title="TFLite (tflite-runtime 2.14)",
    suffix=".tflite",
    precisions=tflite.SPEC.precisions,
    image="tflite-runtime",
    converter="tflite",
    runtime="tflite_runtime",
    imports=("tflite_runtime.interpreter",),
    kinds=("linux", "jetson", "android"),  # no macOS wheels
)

convert = tflite.convert


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """tflite-runtime's interpreter with its default CPU delegate, XNNPACK."""
    from tflite_runtime.interpreter import Interpreter

    return tflite.InterpreterEngine(Interpreter(str(path), num_threads=options.threads), model)


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """Which nodes XNNPACK took; see `tflite.profile_interpreter`."""
    from tflite_runtime.interpreter import Interpreter

    return tflite.profile_interpreter(Interpreter(str(path), num_threads=options.threads))
