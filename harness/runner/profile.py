"""A separate profiling pass for the execution placement; its times are never a result."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Callable

from .. import formats
from ..formats.engine import RuntimeOptions
from ..formats.placement import placement
from ..serial import dumps
from . import samples
from .job import Job, ProfileAnswer


def profile(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> ProfileAnswer:
    """One run per image with the runtime's profiler; writes the layers to `layers.json`."""
    module = formats.REGISTRY[job.format]
    runtime = importlib.import_module(module.SPEC.runtime)
    options = RuntimeOptions(job.threads, job.precision, Path(job.source))
    inputs = [samples.prepared(sample, job.model)[0] for _, sample in samples.of(job)]
    event("profile")
    found = module.profile(Path(job.artifact), job.model, options, inputs, len(inputs))
    summary, layers = placement(found)
    (folder / "layers.json").write_text(dumps(layers), encoding="utf-8")
    return ProfileAnswer(
        seconds=(time.perf_counter_ns() - started_ns) / 1e9,
        runtime_version=str(getattr(runtime, "__version__", "unknown")),
        placement=summary,
        layers=len(layers),
    )
