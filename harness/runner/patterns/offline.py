"""All samples available at once: throughput in images per second, with input copies."""

from __future__ import annotations

import time
from typing import Any, List, Sequence, Tuple

import numpy as np

from ...formats.engine import Engine
from ...records import Arrivals
from ..job import MeasureOptions
from ..loop import CHUNK_S, quiet_collector, run_chunk
from .figures import batch_of, seconds_of
from .spec import NoOptions, PatternSpec, Timed

SPEC = PatternSpec(
    about="all at once, to measure throughput",
    options=NoOptions,
    title="Throughput: all images available at once",
    loadgen="Offline",
)


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, options: NoOptions) -> Timed:
    """Back to back, one in flight, each with the batch that the model has.

    Ends with min samples and min seconds, or at the cap. The time is from before the first copy
    to the last completion.
    """
    start_ns, latency_ns, began_ns = until(
        engine, inputs, rules.min_samples, rules.min_s, rules.cap_s
    )
    seconds = seconds_of(began_ns, start_ns, latency_ns)
    return Timed(
        {"start_ns": start_ns, "latency_ns": latency_ns},
        capped=len(start_ns) < rules.min_samples or seconds < rules.min_s,
        arrivals=Arrivals(
            "offline", len(start_ns), seconds, len(start_ns) * batch_of(inputs) / seconds
        ),
    )


def until(
    engine: Engine, inputs: Sequence[Any], least: int, least_s: float, most_s: float
) -> Tuple[np.ndarray, np.ndarray, int]:
    """Samples until there are enough of both, or until `most_s`; and when the first was fed.

    Every sample is kept: 16 bytes each, in arrays that are allocated a quarter
    of a second ahead.
    """
    starts: List[np.ndarray] = []
    latencies: List[np.ndarray] = []
    count, chunk, began = 0, 8, time.perf_counter_ns()
    with quiet_collector():
        while True:
            start_ns = np.zeros(chunk, np.int64)
            latencies.append(run_chunk(engine, inputs, count, chunk, start_ns))
            starts.append(start_ns)
            count += chunk
            spent_s = (time.perf_counter_ns() - began) / 1e9
            if (count >= least and spent_s >= least_s) or spent_s >= most_s:
                return np.concatenate(starts), np.concatenate(latencies), began
            ahead_s = min(CHUNK_S, max(0.0, most_s - spent_s))
            chunk = max(1, min(100_000, int(count / max(spent_s, 1e-9) * ahead_s)))
