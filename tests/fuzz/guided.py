"""The same table, led by atheris (libFuzzer's coverage of Python), where that is installed.

`python -m fuzz.guided READER RUNS [SEED]` counts and reports as the long run does.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import Any

import atheris

with atheris.instrument_imports(include=["harness"]):
    from .mutate import MOST_BYTES, Mutator
    from .pieces import Counted, scratch
    from .table import TARGETS
    from .trial import attempt


def main() -> None:
    name, runs, seed = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ["1"])[0]
    target, counted, began = TARGETS[name], Counted(name, f"atheris/{seed}"), time.monotonic()
    with scratch() as folder, scratch() as corpus:
        read = target.make(folder)
        for number, data in enumerate(target.seeds()):
            (corpus / str(number)).write_bytes(data)
            attempt(target, read, data)

        def one(data: bytes) -> None:
            seen = attempt(target, read, data)
            counted.add(seen)
            if seen.failure:
                counted.failures.setdefault(seen.failure, data.hex())
            if counted.inputs >= runs:
                _tell(counted, time.monotonic() - began)

        def other(data: bytes, most: int, number: int) -> bytes:
            if number % 2:
                return bytes(atheris.Mutate(data, most))
            rng = random.Random(number)
            return Mutator([data], rng, target.words, target.shapes).next()[:most]

        options = [f"-max_len={MOST_BYTES}", f"-seed={seed}", "-timeout=60", "-rss_limit_mb=0"]
        options += ["-print_final_stats=0", "-verbosity=0", str(corpus)]
        _fuzz(["fuzz", *options], one, other)


def _fuzz(argv: list[str], one: Any, other: Any) -> None:
    atheris.Setup(argv, one, custom_mutator=other)
    atheris.Fuzz()


def _tell(counted: Counted, seconds: float) -> None:
    sys.stdout.write(
        f"{counted.target}: {counted.inputs:,} inputs, {counted.taken:,} taken, slowest "
        f"{counted.slowest_ms:.0f} ms, {counted.peak_mb:.0f} MB, {seconds:.0f} s\n"
    )
    for failure, data in counted.failures.items():
        sys.stdout.write(f"  {failure}: {data[:400]}\n")
    sys.stdout.flush()
    os._exit(int(bool(counted.failures)))


if __name__ == "__main__":
    main()
