"""Requests arrive at random (Poisson), wait in one queue, and have a latency bound.

MLPerf LoadGen's server scenario: the schedule is drawn before, from a seed; a request's response
is completion minus scheduled arrival; a rate meets the bound if the p99 of responses is below it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from ...formats.engine import Engine
from ...records import Arrivals, RateTried
from ..job import MeasureOptions
from ..loop import quiet_collector, run_chunk
from .figures import batch_of, percentile_ms, with_responses
from .spec import RESPONSES, Fact, PatternSpec, Timed, option

#: share of the responses that may be over the bound
LATE_SHARE = 0.01
PROBES = 9
#: a search for the highest rate halves what it does not know this often: to 3 % of the top
SEARCH_STEPS = 5


@dataclass(frozen=True)
class Options:
    """Requests at random in one queue; read by `pattern: server`."""

    bound_ms: float = option(
        100.0, "Bound of the p99 response time, including the queue, ms.", gt=0
    )
    rates_hz: Tuple[float, ...] = option(
        (),
        "Rates to try; default: search for the highest that meets the bound.",
        gt=0,
        le=1e6,
        max_length=64,
    )
    cap_s: float = option(
        60.0,
        "Time limit for the 662 responses of one rate, s; increase it for models slower than "
        "about 45 ms.",
        gt=0,
        le=7200,
    )
    #: at each rate; 662 for a p99
    rate_samples: int = 662


def _asked(arrivals: Arrivals) -> str:
    return f"p99 below {arrivals.bound_ms:g} ms" if arrivals.bound_ms else ""


def _longest_s(rules: MeasureOptions, options: Options) -> float:
    return (len(options.rates_hz) or SEARCH_STEPS) * options.cap_s


SPEC = PatternSpec(
    about="at random, like requests to a server",
    options=Options,
    title="Random requests with a latency bound",
    facts=(Fact("p99 bound", lambda a: a.bound_ms, "ms"), *RESPONSES),
    smoke={"rate_samples": 8, "cap_s": 3.0},
    asked=_asked,
    longest_s=_longest_s,
    loadgen="Server",
)


class Tried:
    """The rates so far, with their raw samples."""

    def __init__(self, engine: Engine, inputs: Sequence[Any], options: Options, seed: int) -> None:
        self._engine, self._inputs, self._options, self._seed = engine, inputs, options, seed
        self.samples: List[Tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.rates: List[RateTried] = []
        self.seconds: List[float] = []

    def __call__(self, rate_hz: float) -> Optional[bool]:
        """Whether the rate meets the bound; None: timed out before that was known."""
        options = self._options
        began = time.perf_counter_ns()
        with quiet_collector():
            got = serve(self._engine, self._inputs, options, rate_hz, self._seed)
        self.seconds.append((time.perf_counter_ns() - began) / 1e9)
        self.samples.append(got)
        self.rates.append(_judged(rate_hz, _response_ns(got), options))
        return self.rates[-1].kept


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, options: Options) -> Timed:
    """Try the given rates, or search; keeps the samples of all, in order."""
    tried = Tried(engine, inputs, options, rules.seed)
    if options.rates_hz:
        for rate_hz in options.rates_hz:
            tried(rate_hz)
    else:
        search(tried, top_hz(engine, inputs))
    return _timed(tried, batch_of(inputs), options)


def search(keeps: Callable[[float], Optional[bool]], top_hz: float) -> Optional[float]:
    """The highest rate that meets the bound, to 1/32 of `top_hz`, which no server can meet.

    After an unknown rate it goes up, where samples arrive faster.
    """
    low, high, best = 0.0, top_hz, None
    for _ in range(SEARCH_STEPS):
        rate_hz = (low + high) / 2
        kept = keeps(rate_hz)
        best = rate_hz if kept else best
        low, high = (low, rate_hz) if kept is False else (rate_hz, high)
    return best


def arrivals_ns(seed: int, rate_hz: float, count: int) -> np.ndarray:
    """Poisson arrivals from 0 on, (count,) int64 ns: one draw per seed, scaled to the rate.

    RandomState's streams are frozen (NEP 19), so every numpy draws the same schedule.
    """
    gaps = np.random.RandomState(seed).standard_exponential(count) / rate_hz
    times_s = np.cumsum(gaps)
    return np.asarray((times_s - times_s[0]) * 1e9, np.int64)


def serve(
    engine: Engine, inputs: Sequence[Any], options: Options, rate_hz: float, seed: int = 0
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scheduled arrival, start and latency, int64 ns, of requests served in order.

    Ends early if too many are late for the bound, or at the cap.
    """
    count = options.rate_samples
    scheduled, starts, latency = (np.zeros(count, np.int64) for _ in range(3))
    offsets = arrivals_ns(seed, rate_hz, count)
    feed, invoke, many = engine.feed, engine.invoke, len(inputs)
    clock, sleep = time.perf_counter_ns, time.sleep
    bound, allowed, late = int(options.bound_ms * 1e6), _allowed(count), 0
    first = clock()
    last = first + int(options.cap_s * 1e9)
    done = 0
    while done < count and late <= allowed:
        due = first + int(offsets[done])
        if due > last and done:
            break
        wait = due - clock()
        if wait > 0:
            sleep(wait / 1e9)
        feed(inputs[done % many])
        began = clock()
        invoke()
        ended = clock()
        scheduled[done], starts[done], latency[done] = due, began, ended - began
        late += ended - due > bound
        done += 1
        if ended > last:
            break
    return scheduled[:done], starts[:done], latency[:done]


def _judged(rate_hz: float, response_ns: np.ndarray, options: Options) -> RateTried:
    count, late = len(response_ns), int((response_ns > options.bound_ms * 1e6).sum())
    whole, on_time = count == options.rate_samples, late <= _allowed(options.rate_samples)
    return RateTried(
        rate_hz=rate_hz,
        n=count,
        p50_ms=percentile_ms(response_ns, 50.0) or 0.0,
        p99_ms=percentile_ms(response_ns, 99.0) if whole else None,
        worst_ms=float(response_ns.max()) / 1e6,
        late=late,
        kept=None if on_time and not whole else on_time,
    )


def _allowed(count: int) -> int:
    """Late responses among `count` with which the nearest-rank p99 is still below the bound."""
    return count - math.ceil((1 - LATE_SHARE) * count)


def top_hz(engine: Engine, inputs: Sequence[Any]) -> float:
    """The rate at which the queue never empties: one over the median of a few runs."""
    return 1e9 / max(1.0, float(np.median(run_chunk(engine, inputs, 0, PROBES))))


def _response_ns(samples: Tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    scheduled, start, latency = samples
    return np.asarray(start + latency - scheduled)


def _timed(tried: Tried, batch: int, options: Options) -> Timed:
    """Figures of the highest rate that met the bound, else of the lowest that was tried."""
    kept = [rate.rate_hz for rate in tried.rates if rate.kept]
    asked = [rate.rate_hz for rate in tried.rates]
    shown = asked.index(max(kept) if kept else min(asked))
    scheduled, start, latency = (
        np.concatenate([samples[i] for samples in tried.samples]) for i in range(3)
    )
    index = np.repeat(np.arange(len(asked)), [rate.n for rate in tried.rates]).astype(np.int64)
    response = _response_ns(tried.samples[shown])
    return Timed(
        {
            "start_ns": start,
            "latency_ns": latency,
            "scheduled_ns": scheduled,
            "rate_index": index,
        },
        capped=any(rate.kept is None for rate in tried.rates),
        arrivals=with_responses(
            Arrivals(
                "server",
                len(response),
                tried.seconds[shown],
                len(response) * batch / tried.seconds[shown],
                rate_hz=asked[shown],
                bound_ms=options.bound_ms,
                rates=tuple(tried.rates),
                best_rate_hz=max(kept) if kept else None,
            ),
            response,
        ),
    )
