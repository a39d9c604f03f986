"""From raw samples to a headline and percentiles. Pure; no sample is ever dropped.

See docs/measurement.md for the rules and docs/statistics.md for the methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..records import Interval, Summary, Trial
from .drift import Samples
from .effective_sample_size import effective_size
from .flags import sample_flags, trial_flags
from .student_t import student

#: fewest samples for a percentile: 99 % confidence, as in MLPerf LoadGen's early stopping
ENOUGH = {50.0: 1, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6640}


def median_interval(samples: Samples, worth: float | None = None) -> Interval:
    """Median of one trial and its 95 % order-statistic interval, in the unit of the samples.

    Ranks n/2 ± t·n/(2·√m) of the sorted samples (Le Boudec, Performance Evaluation, 2.2), where
    m is how many independent samples the n are worth (`effective_size`, or `worth`). t is
    Student's with m/2 degrees of freedom instead of 1.96, since m itself is an estimate.
    """
    n = len(samples)
    m = worth or effective_size(samples, float(np.median(samples)))
    reach = student(95.0, max(1, int(m / 2))) * n / (2 * math.sqrt(m))
    low, high = max(0, math.floor(n / 2 - reach) - 1), min(n - 1, math.ceil(n / 2 + reach))
    ranks = sorted({low, (n - 1) // 2, n // 2, high})
    found = np.partition(samples, ranks)
    middle = (float(found[(n - 1) // 2]) + float(found[n // 2])) / 2
    return Interval(middle, float(found[low]), float(found[high]))


def headline(trials: Sequence[Samples], worth: float | None = None) -> Interval:
    """Median over all trials; the interval covers the variation between trials, too.

    Student's t on the logarithms of the trials' medians, whose spread holds both the noise within
    a trial and the differences between processes; it stays conservative when trials are unequally
    noisy (Ibragimov and Müller, J. Business and Economic Statistics 28, 2010). Logarithms, since
    what disturbs a process makes it slower by a factor, and no latency is under 0. Never narrower
    than the order-statistic interval of all samples together, of which `worth` are independent.
    """
    medians = np.array([np.median(samples) for samples in trials])
    if worth is None:
        worth = sum(effective_size(s, float(m)) for s, m in zip(trials, medians, strict=True))
    pooled = median_interval(np.concatenate(list(trials)), worth)
    if len(trials) < 2 or medians.min() <= 0:  # a clock that went back: such a cell is invalid
        return pooled
    logs = np.log(medians / pooled.value)
    reach = student(95.0, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    low, high = (pooled.value * math.exp(logs.mean() + sign * reach) for sign in (-1, 1))
    return Interval(pooled.value, min(pooled.low, low), max(pooled.high, high))


def percentile(samples: Samples, percent: float) -> float | None:
    """Nearest-rank percentile, or None with too few samples."""
    return percentiles(samples, [percent])[percent]


def percentiles(samples: Samples, percents: Sequence[float]) -> dict[float, float | None]:
    """Nearest-rank percentiles; None for those with too few samples."""
    n = len(samples)
    ranks = {p: math.ceil(p / 100 * n) - 1 for p in percents if n >= ENOUGH[p]}
    found = np.partition(samples, sorted(set(ranks.values()))) if ranks else samples
    return {p: float(found[ranks[p]]) if p in ranks else None for p in percents}


def summarise(trials: Sequence[Trial], samples: Sequence[dict[str, Samples]]) -> Summary:
    """Headline, percentiles, stages and flags of a cell; needs at least one sample a trial."""
    latency = [s["latency_ns"] for s in samples]
    pooled = np.concatenate(latency)
    worth = sum(effective_size(s, float(np.median(s))) for s in latency)
    p50 = headline(latency, worth)
    tail = percentiles(pooled, [90.0, 95.0, 99.0, 99.9])

    def ms(value_ns: float | None) -> float | None:
        return None if value_ns is None else value_ns / 1e6

    def stage(name: str) -> float | None:
        found = [s[name] for s in samples if len(s.get(name, ()))]
        return ms(float(np.median(np.concatenate(found)))) if found else None

    return Summary(
        n=len(pooled),
        trials=len(trials),
        p50=Interval(p50.value / 1e6, p50.low / 1e6, p50.high / 1e6),
        p90_ms=ms(tail[90.0]),
        p95_ms=ms(tail[95.0]),
        p99_ms=ms(tail[99.0]),
        p999_ms=ms(tail[99.9]),
        load_ms=float(np.median([t.load_ms for t in trials])),
        first_ms=float(np.median([t.first_ms for t in trials])),
        pre_ms=stage("pre_ns"),
        infer_ms=stage("infer_ns"),
        post_ms=stage("post_ns"),
        e2e_ms=stage("e2e_ns"),
        peak_rss_bytes=max(t.peak_rss_bytes for t in trials),
        flags=tuple(sample_flags(latency, worth)) + tuple(trial_flags(trials)),
    )
