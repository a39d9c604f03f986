"""How long a report takes: 200 cells of 3 trials of 1,000 samples, without pictures.

`python benchmarks/report.py` prints the seconds (the fastest of three) and their share of the
limit; exit code 1 over the limit. The made-up run is that of the tests.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from harness.report.build import build
from harness.report.data import RunData

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from example_run.run import example  # noqa: E402

LIMIT_S: Final = 5.0
CELLS: Final = 200


def main() -> int:
    """Print and judge."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        devices, threads = tuple(f"device{n}" for n in range(10)), (1, 2)
        run = example(place / "run", devices, threads=threads, samples=1000)
        results = run.results[:CELLS]
        run = type(run)(run.folder, run.info, run.plan, results)
        took = min(_timed(run, place / f"report{n}") for n in range(3))
    print(f"{len(results)} cells: {took:.2f} s, {took / LIMIT_S:.0%} of {LIMIT_S:.0f} s")
    return int(took > LIMIT_S or len(results) < CELLS)


def _timed(run: RunData, out: Path) -> float:
    start = time.perf_counter()
    build(run, out)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
