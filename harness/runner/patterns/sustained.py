"""The tight loop for minutes: what is left of a machine's speed when it is warm."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...formats.engine import Engine
from ...records import Arrivals
from ..job import MeasureOptions
from . import Timed
from .figures import batch_of, seconds_of
from .offline import until

MINUTE_S = 60.0


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions) -> Timed:
    """Back to back for `minutes`; every sample is kept with its time, none is thinned out."""
    asked_s = 60 * rules.arrivals.minutes
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
