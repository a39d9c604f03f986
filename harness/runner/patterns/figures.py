"""Shared figures of patterns: percentiles with enough samples, rates, batches."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Optional, Sequence

import numpy as np

from ...records import Arrivals

#: fewest samples for a percentile, as in analysis/summary.py, which does not travel to devices
ENOUGH: Dict[float, int] = {50.0: 1, 90.0: 64, 99.0: 662}


def percentile_ms(ns: np.ndarray, percent: float) -> Optional[float]:
    """Nearest-rank percentile in ms, or None with too few samples."""
    if len(ns) < ENOUGH[percent]:
        return None
    rank = math.ceil(percent / 100 * len(ns)) - 1
    return float(np.partition(ns, rank)[rank]) / 1e6


def with_responses(arrivals: Arrivals, ns: np.ndarray) -> Arrivals:
    """The same with the percentiles of its responses."""
    return dataclasses.replace(
        arrivals,
        response_p50_ms=percentile_ms(ns, 50.0),
        response_p90_ms=percentile_ms(ns, 90.0),
        response_p99_ms=percentile_ms(ns, 99.0),
    )


def batch_of(inputs: Sequence[Any]) -> int:
    """Samples in one feed: the first input's shape has the batch first."""
    shape = np.shape(inputs[0][0])
    return int(shape[0]) if shape else 1


def seconds_of(began_ns: int, start_ns: np.ndarray, latency_ns: np.ndarray) -> float:
    """From `began_ns` to the last completion."""
    return max(1, int(start_ns[-1] + latency_ns[-1]) - began_ns) / 1e9
