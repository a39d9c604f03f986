"""The long run: a million inputs over all readers, in pieces that are kept as they end.

`python -m fuzz [--inputs N] [--seed S] [--processes P] [--only NAME…]`. A run that was ended goes
on where it was. What breaks a reader is written to build/fuzz/, and is the exit code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from . import report
from .pieces import Counted, folder_of, fuzz, limit, noted, shared
from .table import TARGETS

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "build" / "fuzz"
PAGE: Final = ROOT / "docs" / "fuzzing.md"
#: inputs of a run whose figures are kept
WHOLE: Final = 1_000_000
PIECE: Final = 10_000
#: a piece that takes longer hangs
PATIENCE_S: Final = 1800.0
Piece = tuple[str, str, int]


def main() -> int:
    options = _options()
    names = options.only or list(TARGETS)
    kept = BUILD / f"{options.seed}-{options.inputs}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines = kept.read_text().splitlines() if kept.exists() else []
    done = [Counted(**json.loads(line)) for line in lines]
    over = {one.seed for one in done}
    todo = [piece for piece in pieces(names, options.inputs, options.seed) if piece[1] not in over]
    for counted in _all(todo, options.processes):
        done.append(counted)
        with kept.open("a") as file:
            file.write(json.dumps(asdict(counted)) + "\n")
        _tell(counted, len(todo) + len(over), len(done))
    rows = report.rows(names, done)
    sys.stdout.write(report.table(rows))
    if not options.only and options.inputs >= WHOLE:
        report.write(PAGE, rows)
    return int(any(one.failures for one in done))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=WHOLE)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=list(TARGETS))
    return parser.parse_args()


def pieces(names: Sequence[str], inputs: int, seed: str) -> list[Piece]:
    """Reader, seed and number of inputs; together `inputs`, by the readers' shares."""
    whole = sum(TARGETS[name].share for name in names)
    made: list[Piece] = []
    for at, name in enumerate(names):
        before = sum(TARGETS[one].share for one in names[:at])
        count = inputs * (before + TARGETS[name].share) // whole - inputs * before // whole
        for number, start in enumerate(range(0, count, PIECE)):
            made.append((name, f"{seed}/{name}/{number}", min(PIECE, count - start)))
    return made


def _all(todo: Sequence[Piece], processes: int) -> Iterator[Counted]:
    """So many at once, each in a process of its own, which its inputs may end."""
    context = multiprocessing.get_context("fork")
    waiting, running = list(todo)[::-1], {}
    while waiting or running:
        while waiting and len(running) < processes:
            piece, now = waiting.pop(), shared()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_piece, args=(piece, now, theirs))
            process.start()
            theirs.close()
            running[ours] = piece, now, process, time.monotonic()
        for ours in [one for one in wait(list(running), 5.0) if one in running] or list(running):  # type: ignore[assignment]
            piece, now, process, began = running[ours]
            if ours.poll():
                yield _ended(ours, piece, noted(now), process)
            elif time.monotonic() - began > PATIENCE_S:
                process.kill()
                yield Counted(piece[0], piece[1], failures={"it hangs": noted(now).hex()})
            else:
                continue
            process.join()
            del running[ours]


def _ended(ours: object, piece: Piece, last: bytes, process: object) -> Counted:
    try:
        found = ours.recv()  # type: ignore[attr-defined]
        assert isinstance(found, Counted)
        return found
    except EOFError:
        process.join()  # type: ignore[attr-defined]
        why = f"ended the process: {process.exitcode}"  # type: ignore[attr-defined]
        return Counted(piece[0], piece[1], failures={why: last.hex()})


def _piece(piece: Piece, now: object, answer: object) -> None:
    limit()
    began = time.perf_counter()
    counted = fuzz(TARGETS[piece[0]], piece[1], piece[2], now)  # type: ignore[arg-type]
    counted.seconds = time.perf_counter() - began
    answer.send(counted)  # type: ignore[attr-defined]
    os._exit(0)


def _tell(counted: Counted, count: int, over: int) -> None:
    line = f"{over}/{count} {counted.seed}: {counted.inputs:,} inputs, {counted.seconds:.0f} s\n"
    sys.stderr.write(line)
    for failure, data in counted.failures.items():
        folder = BUILD / folder_of(counted.target)
        folder.mkdir(exist_ok=True)
        path = folder / hashlib.sha256(failure.encode()).hexdigest()[:12]
        path.write_bytes(bytes.fromhex(data))
        sys.stderr.write(f"  {failure}: {path}\n")


if __name__ == "__main__":
    sys.exit(main())
