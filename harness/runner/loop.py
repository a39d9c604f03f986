"""The timed loop and its warm-up: `perf_counter_ns` around the runtime's own call, nothing else.

Between samples the next input is copied in; arrays for samples exist before the loop starts and
the garbage collector is off. `benchmarks/overhead.py` measures the overhead per sample.
"""

from __future__ import annotations

import gc
import math
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy as np

from ..formats.engine import Engine
from .job import MeasureOptions

CHUNK_S = 0.25


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Disable garbage collection in the body; enabled again even if it raises."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def warm_up(
    engine: Engine, inputs: Sequence[Any], rules: MeasureOptions
) -> Tuple[np.ndarray, bool]:
    """Run until steady: nanoseconds of every run, and whether it settled before the cap.

    Steady: the median of the last window is within `steady_percent` of the window before it.
    A window is a fifth of the runs so far, at least five.
    """
    taken: List[int] = []
    chunk = min(5, rules.warmup_min_runs)
    started = time.perf_counter_ns()
    with quiet_collector():
        while True:
            taken.extend(run_chunk(engine, inputs, len(taken), chunk).tolist())
            spent_s = (time.perf_counter_ns() - started) / 1e9
            enough = len(taken) >= rules.warmup_min_runs and spent_s >= rules.warmup_min_s
            if enough and _steady(taken, rules.steady_percent):
                return np.array(taken, np.int64), True
            if spent_s >= rules.warmup_cap_s:
                return np.array(taken, np.int64), False


def _steady(taken: List[int], percent: float) -> bool:
    window = max(5, len(taken) // 5)
    if len(taken) < 2 * window:
        return False
    last, before = np.median(taken[-window:]), np.median(taken[-2 * window : -window])
    return bool(abs(last - before) <= percent / 100 * before)


def timed_loop(
    engine: Engine, inputs: Sequence[Any], rules: MeasureOptions
) -> Tuple[np.ndarray, np.ndarray, bool]:
    """Sample until the rules are met: `(start_ns, latency_ns, capped)`, int64, in order.

    Stops when min samples, min seconds and the interval rule all hold, or at the cap.
    """
    starts: List[np.ndarray] = []
    latencies: List[np.ndarray] = []
    count, began = 0, time.perf_counter_ns()
    chunk = 8
    with quiet_collector():
        while True:
            start_ns = np.zeros(chunk, np.int64)
            latencies.append(run_chunk(engine, inputs, count, chunk, start_ns))
            starts.append(start_ns)
            count += chunk
            spent_s = (time.perf_counter_ns() - began) / 1e9
            chunk = max(8, min(100_000, int(count / max(spent_s, 1e-9) * CHUNK_S)))
            enough = count >= rules.min_samples and spent_s >= rules.min_s
            if enough and _half_width_percent(np.concatenate(latencies)) <= rules.interval_percent:
                return np.concatenate(starts), np.concatenate(latencies), False
            if spent_s >= rules.cap_s:
                return np.concatenate(starts), np.concatenate(latencies), True


def run_chunk(
    engine: Engine, inputs: Sequence[Any], first: int, count: int, start_ns: Any = None
) -> np.ndarray:
    """Latencies of `count` runs, (count,) int64 ns; `first` keeps the rotation of inputs going.

    The caller has the collector off. Nothing outlives a turn: its few integers go into arrays
    that are there already.
    """
    latency_ns = np.zeros(count, np.int64)
    starts = np.zeros(count, np.int64) if start_ns is None else start_ns
    feed, invoke, clock, many = engine.feed, engine.invoke, time.perf_counter_ns, len(inputs)
    for i in range(count):
        feed(inputs[(first + i) % many])
        began = clock()
        invoke()
        ended = clock()
        starts[i] = began
        latency_ns[i] = ended - began
    return latency_ns


def _half_width_percent(latency_ns: np.ndarray) -> float:
    """Half of the median's 95 % order-statistic interval, in percent of the median."""
    ordered, n = np.sort(latency_ns), len(latency_ns)
    reach = 1.96 * math.sqrt(n) / 2
    low, high = max(0, int(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach))
    return float(100 * (ordered[high] - ordered[low]) / 2 / max(1, ordered[n // 2]))


def stage_loop(
    steps: "Tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]",
    images: Sequence[Any],
    rules: MeasureOptions,
) -> np.ndarray:
    """Preprocess, inference (feed, run, fetch), postprocess and end to end: (n, 4) int64 ns."""
    pre, infer, post = steps
    rows: List[Tuple[int, int, int, int]] = []
    clock, began = time.perf_counter_ns, time.perf_counter_ns()
    with quiet_collector():
        while len(rows) < rules.stages_min_runs and (clock() - began) / 1e9 < rules.stages_cap_s:
            image = images[len(rows) % len(images)]
            t0 = clock()
            ready = pre(image)
            t1 = clock()
            raw = infer(ready)
            t2 = clock()
            post((raw, ready))
            t3 = clock()
            rows.append((t1 - t0, t2 - t1, t3 - t2, t3 - t0))
    return np.array(rows, np.int64)
