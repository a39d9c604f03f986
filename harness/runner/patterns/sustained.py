"""The tight loop for minutes: sustained performance of a warm device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from ...formats.engine import Engine
from ...records import Arrivals
from ..job import MeasureOptions
from .figures import batch_of, seconds_of
from .offline import until
from .spec import Fact, PatternSpec, Timed, option

MINUTE_S = 60.0


@dataclass(frozen=True)
class Options:
    """The tight loop for minutes; read by `pattern: sustained`."""

    minutes: float = option(10.0, "Duration of each trial, minutes.", gt=0, le=1440)


SPEC = PatternSpec(
    about="back to back for minutes, until the device is warm",
    options=Options,
    title="Sustained load",
    facts=(
        Fact("median at the start", lambda a: a.first_minute_ms, "ms"),
        Fact("median at the end", lambda a: a.last_minute_ms, "ms"),
    ),
    smoke={"minutes": 0.05},
    longest_s=lambda rules, options: 60 * options.minutes,
)


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, options: Options) -> Timed:
    """Back to back for `minutes`; every sample is kept with its time."""
    asked_s = 60 * options.minutes
    start_ns, latency_ns, began_ns = until(engine, inputs, 1, asked_s, asked_s)
    seconds = seconds_of(began_ns, start_ns, latency_ns)
    edge_ns = int(1e9 * min(MINUTE_S, seconds / 10))
    first = latency_ns[start_ns <= start_ns[0] + edge_ns]
    last = latency_ns[start_ns >= start_ns[-1] - edge_ns]
    return Timed(
        {"start_ns": start_ns, "latency_ns": latency_ns},
        capped=False,
        arrivals=Arrivals(
            "sustained",
            len(start_ns),
            seconds,
            len(start_ns) * batch_of(inputs) / seconds,
            first_minute_ms=float(np.median(first)) / 1e6,
            last_minute_ms=float(np.median(last)) / 1e6,
        ),
    )
