"""Job modes: each takes the job, its folder, an event writer and the process's start time."""

from __future__ import annotations

import dataclasses
import importlib
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from .. import formats, tasks
from ..formats.engine import Engine, RuntimeOptions
from ..serial import dumps
from ..tasks import pack as packs
from ..tasks.options import number
from . import samples
from .job import Answer, Job
from .profile import profile
from .threads import keep_to
from .trial import trial


def convert(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> Answer:
    """Write the converted model to `job.artifact`."""
    module = formats.REGISTRY[job.format]
    module.convert(job.model, Path(job.source), job.precision, Path(job.artifact))
    return Answer(_since(started_ns), runtime_version(job))


def outputs(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> Answer:
    """Raw outputs of the first `job.images` samples, by name in `outputs.npz`."""
    engine, task = load(job), tasks.REGISTRY[job.model.task]
    rows: List[Dict[str, np.ndarray]] = []
    for _, sample in samples.of(job):
        ready, _ = samples.prepared(sample, job.model)
        engine.feed(samples.fed(ready, job.model, engine))
        engine.invoke()
        found = samples.outputs_of(engine, job.model)
        rows.append({name: _copied(value) for name, value in found.items()})
        task.check(rows[-1], job.model)
    np.savez(str(folder / "outputs.npz"), **samples.stacked(rows))  # type: ignore[arg-type]
    return Answer(_since(started_ns), runtime_version(job), len(rows))


def _copied(value: np.ndarray) -> np.ndarray:
    """All floats as float32."""
    return np.array(value, value.dtype if value.dtype.kind in "biu" else np.float32)


def _check_numbers(outputs: Any, names: Sequence[str], image_id: int) -> None:
    """Raises ValueError for NaN, which would only look like a missing detection."""
    for name in names:
        if np.isnan(outputs[name]).any():
            raise ValueError(f"output {name} has NaN for image id {image_id}")


def predict(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> Answer:
    """Decoded predictions on all images of the pack, in `predictions.npz` (see docs/design.md)."""
    engine, task = load(job), tasks.REGISTRY[job.model.task]
    threshold = number(job.model, "accuracy_score_threshold")
    found: List[Any] = []
    pack = packs.open_pack(Path(job.pack))
    for done, (image_id, image) in enumerate(pack):
        ready, geometry = samples.prepared(image, job.model)
        engine.feed(samples.fed(ready, job.model, engine))
        engine.invoke()
        seen = samples.outputs_of(engine, job.model)
        task.check(seen, job.model)
        _check_numbers(seen, job.model.outputs, image_id)
        result = task.postprocess(seen, geometry, job.model, score_threshold=threshold)
        found.append((image_id, image.shape[:2], result))
        if done % 20 == 0:
            event("images", done=done, of=len(pack))
    arrays: Dict[str, Any] = task.pack(found)
    np.savez_compressed(str(folder / "predictions.npz"), **arrays)
    return Answer(_since(started_ns), runtime_version(job), len(found))


def passes(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> Answer:
    """Several passes in one process, each with its answer in `<mode>.json`; profiles run last.

    Starting a runtime takes longer than most passes, especially on a phone or in an emulator.
    """
    for one in sorted(job.passes, key=lambda p: p.mode == "profile"):
        alone = one.mode == "profile"  # on one CPU, as for a separate profile
        own = dataclasses.replace(
            job,
            mode=one.mode,
            pack=one.pack,
            images=one.images,
            threads=1 if alone else job.threads,
            cpus=keep_to(job.cpus[-1:]) if alone else job.cpus,
        )
        answer = MODES[one.mode](own, folder, event, time.perf_counter_ns())
        (folder / f"{one.mode}.json").write_text(dumps(answer), encoding="utf-8")
    return Answer(_since(started_ns), runtime_version(job))


def load(job: Job) -> Engine:
    """The job's engine; environment and format set the threads of every library."""
    options = RuntimeOptions(job.threads, job.precision, Path(job.source))
    return formats.REGISTRY[job.format].load(Path(job.artifact), job.model, options)


def runtime_version(job: Job) -> str:
    """The version of the runtime's package."""
    module = importlib.import_module(formats.REGISTRY[job.format].SPEC.runtime)
    return str(getattr(module, "__version__", "unknown"))


def _since(started_ns: int) -> float:
    return (time.perf_counter_ns() - started_ns) / 1e9


MODES: Dict[str, Callable[..., Any]] = {
    "convert": convert,
    "outputs": outputs,
    "predict": predict,
    "profile": profile,
    "passes": passes,
    "trial": trial,
}
