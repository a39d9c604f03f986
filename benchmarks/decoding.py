"""How long decoding takes: YOLOv8's 8,400 locations of 80 classes, by us and straight from numpy.

    python benchmarks/decoding.py [--runs 50]

Prints medians of decoding alone, and with NMS and the way back to the image, at the thresholds of
use and of scoring; and of a plain translation of the definition (transpose, best class of each
location, filter) as a ratio. Exits 1 if our decoding takes longer than 10 ms.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.records import ModelSpec, TensorSpec
from harness.tasks import REGISTRY, decoders
from harness.tasks.letterbox import fit

LOCATIONS, CLASSES, SIDE, LIMIT_MS = 8_400, 80, 640, 10.0
SPEC = ModelSpec(
    name="yolov8n",
    task="detection",
    module="",
    function="",
    weights="",
    weights_sha256="",
    inputs=(TensorSpec("images", (1, 3, SIDE, SIDE)),),
    outputs=("output0",),
    classes=tuple(f"class {at}" for at in range(CLASSES)),
    decoder="yolov8",
)


def output(seed: int = 0) -> NDArray[np.float32]:
    """Scores as a trained model has them: nearly all near 0, some hundred locations sure."""
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, SIDE, (4 + CLASSES, LOCATIONS))
    table[2:4] /= 4
    table[4:] = rng.beta(0.05, 60, (CLASSES, LOCATIONS))
    sure = rng.choice(LOCATIONS, 300, replace=False)
    table[4 + rng.integers(0, CLASSES, 300), sure] = rng.uniform(0.3, 0.95, 300)
    return table[None].astype(np.float32)


def plain(value: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """The definition, translated to numpy without care."""
    rows = value[0].T.copy()
    best = rows[:, 4:].max(1)
    rows = rows[best >= threshold]
    labels = rows[:, 4:].argmax(1)
    half = rows[:, 2:4] / 2
    corners = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1)
    return np.concatenate([corners, rows[:, 4:].max(1)[:, None], labels[:, None]], 1)


def median_ms(run: Callable[[], object], runs: int) -> float:
    """Of `runs` calls, after three that are not counted."""
    times = []
    for _ in range(runs + 3):
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return statistics.median(times[3:])


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    outputs, geometry, slowest = {"output0": output()}, fit(480, 640, (SIDE, SIDE)), 0.0
    task, decoder = REGISTRY["detection"], decoders.of(SPEC)
    print("| threshold | candidates | decoding, ms | with NMS, ms | plain numpy, ms | ratio |")
    print("|---|---|---|---|---|---|")
    for threshold in (0.25, 0.01):
        found = decoders.found_in(outputs, SPEC)
        count = len(decoder.decode(found, SPEC, threshold))

        def decode(least: float = threshold) -> object:
            return decoder.decode(decoders.found_in(outputs, SPEC), SPEC, least)

        def whole(least: float = threshold) -> object:
            return task.postprocess(outputs, geometry, SPEC, score_threshold=least)

        def naive(least: float = threshold) -> object:
            return plain(outputs["output0"], least)

        ours, full, other = (median_ms(run, runs) for run in (decode, whole, naive))
        slowest = max(slowest, ours)
        print(
            f"| {threshold} | {count:,} | {ours:.2f} | {full:.2f} | {other:.2f} "
            f"| {ours / other:.2f} |"
        )
    return int(slowest > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
