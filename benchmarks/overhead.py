"""What our timed loop itself costs a sample, shown by an engine that does nothing.

    python benchmarks/overhead.py

Prints the median and p99 of what is recorded for an empty call (the overhead that is inside every
number), and of the whole turn of the loop without the call. Limit: 2 µs inside.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from harness.records import TensorSpec
from harness.runner.job import MeasureOptions
from harness.runner.loop import timed_loop

LIMIT_US = 2.0
RULES = MeasureOptions(min_samples=200_000, min_s=0.5, cap_s=2.0)


class Null:
    """Does nothing, as fast as Python can."""

    inputs: tuple[TensorSpec, ...] = ()
    unbound: tuple[str, ...] = ()

    def feed(self, tensors: object) -> None:
        """Nothing."""

    def invoke(self) -> None:
        """Nothing."""

    def fetch(self) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}


def main() -> int:
    """Print, and exit 1 over the limit."""
    began = time.perf_counter()
    _, latency_ns, _ = timed_loop(Null(), [None] * 16, RULES)
    turn_us = (time.perf_counter() - began) / len(latency_ns) * 1e6
    inside_us, p99_us = np.percentile(latency_ns, [50, 99]) / 1e3
    print(f"inside a sample: {inside_us:.3f} µs median, {p99_us:.3f} µs p99; limit {LIMIT_US} µs")
    print(f"a turn of the loop: {turn_us:.3f} µs, n={len(latency_ns)}")
    return int(inside_us > LIMIT_US)


if __name__ == "__main__":
    sys.exit(main())
