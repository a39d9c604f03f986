"""PyTorch in eager mode: the reference. The artifact is a state dict; the code is the model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Sequence, Tuple

import numpy as np

from ..records import Conversion, FormatSpec, Layer, ModelSpec, Precision
from . import source as model_source
from .engine import Arrays, Engine, RuntimeOptions
from .feeds import feeds
from .placement import Profiled, warm_runs

if TYPE_CHECKING:
    import torch

SPEC = FormatSpec(
    name="pytorch",
    title="PyTorch",
    suffix=".pt",
    precisions={
        "fp32": "stored and computed in fp32",
        "fp16": "stored in fp16, upcast to fp32 at load (CPU fp16 convolutions are emulated)",
    },
    lacks={"int8": "eager PyTorch has no dynamic int8 convolution"},
    image="pytorch",
    converter="pytorch",
    conversions=(Conversion("pytorch", "torch", "pytorch"),),
    runtime="torch",
    kinds=("linux", "android"),
    architectures=("x86_64",),  # the lock has the CPU build of torch
    needs_source=True,
)


def convert(model: ModelSpec, source: Path, precision: Precision, out: Path) -> None:
    """Save the state dict, in half precision for fp16."""
    import torch

    network = model_source.load(model, source)
    if precision == "fp16":
        network = network.half()
    torch.save(network.state_dict(), out)


def load(path: Path, model: ModelSpec, options: RuntimeOptions) -> Engine:
    """Build the architecture from `options.source` and load the artifact's weights into it."""
    network = model_source.build(model, options.source)
    return TorchEngine(model_source.with_weights(network, path, model.function), model, options)


def profile(
    path: Path, model: ModelSpec, options: RuntimeOptions, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """Operators of the model from `torch.profiler`, each with its self time."""
    return profile_engine(load(path, model, options), model, inputs, runs)


def profile_engine(
    engine: Engine, model: ModelSpec, inputs: Sequence[Arrays], runs: int
) -> Profiled:
    """Shared with TorchScript, whose fused groups are operators, too."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorder

    def run(count: int) -> None:
        for i in range(count):
            engine.feed(feeds(inputs[i % len(inputs)], model, engine.inputs))
            engine.invoke()

    run(warm_runs(runs))
    with recorder(activities=[ProfilerActivity.CPU]) as recorded:
        run(runs)
    return Profiled("CPU", "torch.profiler", runs, layers_of(recorded.key_averages(), runs))


def layers_of(operators: Sequence[Any], runs: int) -> Tuple[Layer, ...]:
    """One layer per operator, with its self time.

    Includes views and other operators without a kernel.
    """
    return tuple(
        Layer(
            name=str(operator.key),
            type=str(operator.key),
            where=str(operator.device_type).rpartition(".")[2],
            ms=operator.self_cpu_time_total / runs / 1e3,
            count=max(1, round(operator.count / runs)),
        )
        for operator in operators
        if not str(operator.key).startswith("ProfilerStep")
    )


class TorchEngine:
    """Shared by eager PyTorch and TorchScript: one call of a module on bound tensors.

    Weights are fp32 whatever they are stored in, and so are inputs in half precision.
    """

    unbound: Tuple[str, ...] = ()

    def __init__(self, module: Any, model: ModelSpec, options: RuntimeOptions) -> None:
        import torch

        torch.set_num_threads(options.threads)
        torch.set_grad_enabled(False)
        self._model = model
        wide = {"float16": "float32"}
        self.inputs = tuple(
            replace(one, dtype=wide.get(one.dtype, one.dtype)) for one in model.inputs
        )
        self._inputs = tuple(
            torch.zeros(one.shape, dtype=getattr(torch, one.dtype)) for one in self.inputs
        )
        self._outputs: "tuple[torch.Tensor, ...]" = ()
        self._module = module

    def feed(self, tensors: Arrays) -> None:
        """Copy into the bound tensors."""
        for bound, tensor in zip(self._inputs, tensors):
            bound.numpy()[...] = tensor

    def invoke(self) -> None:
        """One forward pass; the module allocates its outputs, as usual in PyTorch."""
        self._outputs = self._module(*self._inputs)

    def fetch(self) -> Dict[str, np.ndarray]:
        """Views of the tensors that the last forward pass returned; halves are widened."""
        values = model_source.named(self._outputs, self._model)
        return {
            name: (value.float() if value.is_floating_point() else value).numpy()
            for name, value in zip(self._model.outputs, values)
        }
