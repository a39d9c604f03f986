"""One trial of one cell in this process: import, load, first run, warm-up, timed loop, stages."""

from __future__ import annotations

import importlib
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from .. import formats, tasks
from ..formats.engine import Engine, RuntimeOptions
from ..formats.feeds import Feeds
from ..tasks.options import number
from . import loadgen, patterns, samples, threads
from .job import Job, MeasureOptions, TrialAnswer
from .loop import stage_loop, warm_up
from .memory import Phases
from .patterns import Timed
from .samples import Ready
from .state import read_state

STAGES = ("pre_ns", "infer_ns", "post_ns", "e2e_ns")


@dataclass(frozen=True)
class Loaded:
    """A model after its first run, and the time and memory that took."""

    engine: Engine
    runtime_version: str
    import_ms: float
    load_ms: float
    first_ms: float


def trial(job: Job, folder: Path, event: Callable[..., None], started_ns: int) -> TrialAnswer:
    """Time the model; raw samples go to `samples.npz`, int64 ns."""
    if job.measure is None:
        raise ValueError("job.json: a trial needs `measure`")
    rules, clock = job.measure, time.perf_counter_ns
    images = [sample for _, sample in samples.of(job)]
    ready = [samples.prepared(image, job.model)[0] for image in images]
    before, memory = read_state(), Phases()
    memory.end()
    event("load")
    loaded, inputs = _load(job, ready, memory)
    t0 = clock()
    event("warmup")
    warmup_ns, settled = warm_up(loaded.engine, inputs, rules)
    t1 = clock()
    event("loop")
    timed, shares = _timed(loaded.engine, inputs, rules, folder)
    t2 = clock()
    os_threads = threads.count()
    memory.end()
    event("stages")
    stages = stage_loop(_steps(loaded.engine, job), images, rules)
    t3 = clock()
    _save(folder, {**timed.arrays, "warmup_ns": warmup_ns}, stages)
    return TrialAnswer(
        load_ms=loaded.load_ms,
        first_ms=loaded.first_ms,
        import_ms=loaded.import_ms,
        settled=settled,
        stopped_by="cap" if timed.capped else "interval",
        warmup_s=(t1 - t0) / 1e9,
        loop_s=(t2 - t1) / 1e9,
        stages_s=(t3 - t2) / 1e9,
        process_s=(clock() - started_ns) / 1e9,
        peak_rss_bytes=memory.highest_bytes,
        os_threads=os_threads,
        affinity=threads.allowed(),
        runtime_version=loaded.runtime_version,
        python_version=platform.python_version(),
        before=before,
        after=read_state(),
        memory=memory.record(),
        busy_threads=threads.busy(shares) if shares else None,
        thread_percent=shares,
        arrivals=timed.arrivals,
        boot_offset_s=_boot_offset_s(),
        unbound=loaded.engine.unbound,
    )


def _boot_offset_s() -> float:
    """How long the device has slept since boot; 0 if unknown."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return 0.0
    return time.clock_gettime(boottime) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _load(job: Job, ready: List[Ready], memory: Phases) -> Tuple[Loaded, List[Feeds]]:
    """Import, load and the first run, each timed, with the memory of import and load.

    And the samples as the loaded model takes them.
    """
    module, clock = formats.REGISTRY[job.format], time.perf_counter_ns
    t0 = clock()
    runtime = importlib.import_module(module.SPEC.runtime)
    for name in module.SPEC.imports:
        importlib.import_module(name)
    t1 = clock()
    memory.end()
    options = RuntimeOptions(job.threads, job.precision, Path(job.source))
    t2 = clock()
    engine = module.load(Path(job.artifact), job.model, options)
    t3 = clock()
    memory.end()
    inputs = [samples.fed(one, job.model, engine) for one in ready]
    engine.feed(inputs[0])
    t4 = clock()
    engine.invoke()
    t5 = clock()
    loaded = Loaded(
        engine,
        str(getattr(runtime, "__version__", "unknown")),
        import_ms=(t1 - t0) / 1e6,
        load_ms=(t3 - t2) / 1e6,
        first_ms=(t5 - t4) / 1e6,
    )
    return loaded, inputs


def _timed(
    engine: Engine, inputs: List[Feeds], rules: MeasureOptions, folder: Path
) -> Tuple[Timed, Tuple[float, ...]]:
    """The timed loop, and each thread's share of it."""
    before, began = threads.cpu_ns(), time.perf_counter_ns()
    if rules.loadgen:
        timed = loadgen.run(engine, inputs, rules, folder)
    else:
        timed = patterns.run(engine, inputs, rules)
    wall_ns = time.perf_counter_ns() - began
    return timed, threads.percents(before, threads.cpu_ns(), wall_ns)


def _save(folder: Path, timed: Dict[str, np.ndarray], stages: np.ndarray) -> None:
    arrays: Dict[str, Any] = dict(timed)
    arrays.update((name, stages[:, i]) for i, name in enumerate(STAGES))
    np.savez(str(folder / "samples.npz"), **arrays)


def _steps(engine: Engine, job: Job) -> Any:
    """The three stages, each a function of the previous one's result."""
    task = tasks.REGISTRY[job.model.task]
    threshold = number(job.model, "score_threshold")

    def pre(image: Any) -> Any:
        ready, geometry = samples.prepared(image, job.model)
        return samples.fed(ready, job.model, engine), geometry

    def infer(ready: Any) -> Any:
        engine.feed(ready[0])
        engine.invoke()
        return samples.outputs_of(engine, job.model)

    def post(both: Any) -> Any:
        raw, ready = both
        return task.postprocess(raw, ready[1], job.model, score_threshold=threshold)

    return pre, infer, post
