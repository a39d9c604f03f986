"""TorchScript: traced, frozen at load. Saved by `torch.jit.save`, runs without the model's code."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from ..records import Conversion, FormatSpec, ModelSpec, Precision
from . import source as model_source
from .engine import Arrays, Engine, RuntimeOptions
from .placement import Profiled
from .pytorch import TorchEngine, profile_engine

SPEC = FormatSpec(
    name="torchscript",
    title="TorchScript",
    suffix=".torchscript",
    precisions={
        "fp32": "stored and computed in fp32",
        "fp16": "stored in fp16, upcast to fp32 at load (CPU fp16 convolutions are emulated)",
    },
    lacks={"int8": "TorchScript has no dynamic int8 convolution"},
    image="torchscript",
    converter="torchscript",
    conversions=(
        Conversion("pytorch", "torch.jit", "torchscript"),
        Conversion("torchscript", "torch.jit", "torchscript"),
    ),
    runtime="torch",
    kinds=("linux", "android"),
    architectures=("x86_64",),  # the lock has the CPU build of torch
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Trace the fp32 module; for fp16, its constants and weights are stored in half precision."""
    import torch

    if model.source == "torchscript":
        traced = torch.jit.load(str(source / model.weights), map_location="cpu").float().eval()
    else:
        network = model_source.traceable(model, source)
        with torch.no_grad():
            traced = torch.jit.trace(network, model_source.examples(model))
    if precision == "fp16":
        traced = traced.half()
    torch.jit.save(traced, str(out))


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """Load, upcast, freeze (folds batch normalisation into the convolutions)."""
    import torch

    torch.set_num_threads(options.threads)
    module = torch.jit.load(str(path)).float().eval()
    return TorchEngine(torch.jit.optimize_for_inference(torch.jit.freeze(module)), model, options)


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """Operators of the frozen graph from `torch.profiler`, each with its self time."""
    return profile_engine(load(path, model, options), model, inputs, runs)
