"""Images arrive at a fixed rate and the machine may sleep between them, as with a camera.

The process sleeps until the next image; it never spins, which would keep the clocks awake. A
busy model takes the newest image when it is free; older ones are dropped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import numpy as np

from ...formats.engine import Engine
from ...records import Arrivals
from ..job import MeasureOptions
from ..loop import quiet_collector
from .figures import batch_of, seconds_of, with_responses
from .spec import RESPONSES, Fact, PatternSpec, Timed, option


@dataclass(frozen=True)
class Options:
    """Images at a fixed rate, with idle gaps; read by `pattern: camera`."""

    rate_hz: float = option(30.0, "Images per second.", gt=0, le=10_000)


def _asked(arrivals: Arrivals) -> str:
    return f"{arrivals.rate_hz:g}/s" if arrivals.rate_hz else ""


SPEC = PatternSpec(
    about="at a fixed rate, like a camera",
    options=Options,
    title="Images at a fixed rate, like a camera",
    facts=(
        Fact("requested images/s", lambda a: a.rate_hz),
        Fact("dropped images", lambda a: a.dropped, total=True),
        *RESPONSES,
    ),
    asked=_asked,
)


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, options: Options) -> Timed:
    """Min samples and min seconds, whichever comes later, or the cap."""
    rate_hz = options.rate_hz
    with quiet_collector():
        scheduled, start, latency, came = _watch(engine, inputs, rules, rate_hz)
    seconds = seconds_of(int(scheduled[0]), start, latency)
    return Timed(
        {"start_ns": start, "latency_ns": latency, "scheduled_ns": scheduled},
        capped=len(start) < rules.min_samples or came < rules.min_s * rate_hz,
        arrivals=with_responses(
            Arrivals(
                "camera",
                len(start),
                seconds,
                len(start) * batch_of(inputs) / seconds,
                rate_hz=rate_hz,
                dropped=came - len(start),
            ),
            start + latency - scheduled,
        ),
    )


def _watch(
    engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, rate_hz: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Scheduled arrival, start and latency of processed images, and the number of arrivals."""
    period_ns, least = int(round(1e9 / rate_hz)), int(np.ceil(rules.min_s * rate_hz))
    most = max(1, int(rules.cap_s * rate_hz))
    scheduled, starts, latency = (np.zeros(most, np.int64) for _ in range(3))
    feed, invoke, many = engine.feed, engine.invoke, len(inputs)
    clock, sleep = time.perf_counter_ns, time.sleep
    picture, taken = 0, 0
    first = clock() + period_ns
    while picture < most and (taken < rules.min_samples or picture < least):
        due = first + picture * period_ns
        wait = due - clock()
        if wait > 0:
            sleep(wait / 1e9)
        feed(inputs[picture % many])
        began = clock()
        invoke()
        ended = clock()
        scheduled[taken], starts[taken], latency[taken] = due, began, ended - began
        taken += 1
        came = picture + 1
        picture = max(came, (ended - first) // period_ns)
    return scheduled[:taken], starts[:taken], latency[:taken], came
