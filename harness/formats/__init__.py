"""Formats: one file each. Nothing here imports a runtime.

To add one: a file with `SPEC`, `convert`, `load` and `profile`, a folder in dockerfiles/, a line
below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Final, Optional, Protocol, Sequence

from ..records import DeviceFacts, FormatSpec, ModelSpec, Precision
from . import (
    frozen,
    keras,
    onnx,
    openvino,
    pytorch,
    savedmodel,
    tflite,
    tflite_runtime,
    torchscript,
)
from .engine import Arrays, Engine, RuntimeOptions
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
        inputs: Sequence[Arrays],
        runs: int,
    ) -> Profiled:
        """Every node of the model and where it ran, as reported by the runtime, over `runs`.

        `inputs` are samples in the shapes of model.yaml, before `feeds`.
        """


REGISTRY: Final[Dict[str, Format]] = {
    "pytorch": pytorch,
    "torchscript": torchscript,
    "onnx": onnx,
    "openvino": openvino,
    "tflite": tflite,
    "tflite-runtime": tflite_runtime,
    "savedmodel": savedmodel,
    "keras": keras,
    "frozen": frozen,
}


#: may be named in a scenario; skipped with this reason
PLANNED: Final[Dict[str, str]] = {
    "tensorrt": "bench does not support TensorRT yet",
    "coreml": "bench does not support Core ML yet",
}


def why_not(
    spec: FormatSpec, device: str, kind: str, facts: Optional[DeviceFacts] = None
) -> Optional[str]:
    """Why a format cannot run on a device; None if it can, as far as known.

    `facts` are known once the device is connected.
    """
    if kind not in spec.kinds:
        return f"{spec.title} does not support {kind}, only {_all(spec.kinds)}"
    if facts is None:
        return None
    if _as_linux_says(facts.arch) not in spec.architectures:
        return f"{spec.title} requires {_all(spec.architectures)}; {device} is {facts.arch}"
    if not any(_has(accelerator, facts) for accelerator in spec.accelerators):
        return f"{spec.title} requires {_all(spec.accelerators)}; {device} has no NVIDIA runtime"
    return None


def why_no_image(image: str, device: str, facts: DeviceFacts) -> Optional[str]:
    """`why_not` of the format whose runtime is in an image; None for an image of no format."""
    specs = [module.SPEC for module in REGISTRY.values() if module.SPEC.image == image]
    return why_not(specs[0], device, facts.kind, facts) if specs else None


def _has(accelerator: str, facts: DeviceFacts) -> bool:
    """Only CUDA is checked in advance; for others the runtime reports it."""
    return accelerator != "cuda" or facts.kind == "jetson" or facts.nvidia_runtime


def _as_linux_says(arch: str) -> str:
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(arch, arch)


def _all(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
