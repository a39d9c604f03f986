"""How long a summary of a million samples takes.

    python benchmarks/summary.py

Prints the best of five in seconds of CPU time (so that other processes do not count), its share
of the limit of 0.2 s, and how many sorts of the same million it is worth.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from harness.analysis import summary
from harness.records import DeviceState, Trial

LIMIT_S = 0.2
STATE = DeviceState("")


def main() -> int:
    """Print, and exit 1 over the limit."""
    rng = np.random.default_rng(0)
    samples = [
        {"latency_ns": (1e7 * np.exp(0.02 * rng.standard_normal(200_000))).astype(np.int64)}
        for _ in range(5)
    ]
    pooled = np.concatenate([s["latency_ns"] for s in samples])
    taken_s = min(_cpu_s(lambda: _summarise(samples)) for _ in range(5))
    sort_s = min(_cpu_s(lambda: np.sort(pooled)) for _ in range(5))
    print(
        f"1,000,000 samples: {taken_s:.3f} s, {taken_s / LIMIT_S:.2f} of the limit of {LIMIT_S} s, "
        f"{taken_s / sort_s:.1f} times a sort of them"
    )
    return int(taken_s > LIMIT_S)


def _summarise(samples: list[dict[str, np.ndarray]]) -> None:
    summary.summarise([_trial(index) for index in range(len(samples))], samples)


def _cpu_s(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def _trial(index: int) -> Trial:
    return Trial(
        index=index,
        folder="",
        load_ms=1.0,
        first_ms=1.0,
        import_ms=1.0,
        settled=True,
        stopped_by="interval",
        peak_rss_bytes=1,
        os_threads=1,
        runtime_version="",
        python_version="",
        wall_s=1.0,
        before=STATE,
        after=STATE,
    )


if __name__ == "__main__":
    sys.exit(main())
