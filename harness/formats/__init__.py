"""Formats: one file each tells a format's whole story. Nothing here imports a runtime.

To add one: a file with `SPEC`, `convert`, `load` and `profile`, a folder under dockerfiles/, a line
below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Final, Protocol, Sequence

import numpy as np

from ..records import FormatSpec, ModelSpec, Precision
from . import onnx, openvino, pytorch, tflite, tflite_runtime, torchscript
from .engine import Engine, RuntimeOptions
from .placement import Profiled


class Format(Protocol):
    """A module of this folder; third-party imports stay inside its functions."""

    SPEC: FormatSpec

    def convert(self, model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
        """Write the model in the folder `source` to `out`, a file or folder. In the image."""

    def load(self, path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
        """Load what `convert` wrote, ready for its first inference. Runs on the device."""

    def profile(
        self,
        path: Path,
        model: ModelSpec,
        options: RuntimeOptions,
        inputs: Sequence[np.ndarray],
        runs: int,
    ) -> Profiled:
        """Every node of the model and where it ran, as the runtime itself says, over `runs`."""


REGISTRY: Final[Dict[str, Format]] = {
    "pytorch": pytorch,
    "torchscript": torchscript,
    "onnx": onnx,
    "openvino": openvino,
    "tflite": tflite,
    "tflite-runtime": tflite_runtime,
}

#: the reference that every other cell is compared with
REFERENCE: Final = "pytorch"

#: may be named in a scenario; skipped with this reason
PLANNED: Final[Dict[str, str]] = {
    "tensorrt": "not built yet: bench has no TensorRT format so far",
    "coreml": "not built yet: bench has no Core ML format so far",
    "savedmodel": "not built yet: bench has no TF SavedModel format so far",
}
