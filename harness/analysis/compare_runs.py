"""Compares two runs, or two cells of one: ratio, verdict and what else differs.

Reads finished runs; measures nothing and prints nothing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import BenchError, UsageError
from ..records import CellResult, Interval
from ..store import Run, read_samples
from .differences import Difference, arrivals, cell_differences, run_differences
from .drift import Samples
from .flags import impossible
from .ratio import SAME_PERCENT, Comparison, compare


@dataclass(frozen=True)
class Side:
    """One of the two results: milliseconds, and why it is suspect."""

    run_id: str
    cell_id: str
    p50: Interval | None
    n: int
    verdict: str
    reasons: tuple[str, ...] = ()
    device: str = ""
    host: str = ""


@dataclass(frozen=True)
class Pair:
    """Two cells; `left_out` says why they are not compared."""

    old: Side | None
    new: Side | None
    comparison: Comparison | None
    left_out: str
    differences: tuple[Difference, ...] = ()
    #: what else speaks for or against the verdict
    notes: tuple[str, ...] = ()
    #: the new run was to measure it: planned, and not left out before anything began
    tried: bool = True


@dataclass(frozen=True)
class Compared:
    """All pairs of two runs; `differences` are those of the runs, pairs have their own."""

    old: str
    new: str
    same_percent: float
    differences: tuple[Difference, ...]
    pairs: tuple[Pair, ...]

    @property
    def slower(self) -> bool:
        """Whether any cell is significantly slower."""
        return any(p.comparison and p.comparison.outcome == "slower" for p in self.pairs)

    @property
    def told(self) -> bool:
        """Whether at least one pair was compared, with enough trials for a verdict."""
        return any(p.comparison and not p.comparison.reason for p in self.pairs)

    @property
    def lost(self) -> tuple[Pair, ...]:
        """Pairs whose cell ran but has no valid new result to compare with the old one."""
        return tuple(p for p in self.pairs if not p.comparison and _number(p.old) and p.tried)


def compare_runs(old: Run, new: Run, same_percent: float = SAME_PERCENT) -> Compared:
    """Compare every cell of either run, in the order of the new run, then of the old.

    Cells that were skipped in both are omitted.
    """
    before, after = ({r.cell.id: r for r in run.results} for run in (old, new))
    planned = {cell.id for cell in new.plan.cells}
    tried = [r.cell.id for run in (new, old) for r in run.results if r.status != "skipped"]
    pairs = [
        compare_cells((old, before.get(name)), (new, after.get(name)), same_percent, alike=True)
        for name in dict.fromkeys(tried)
    ]
    pairs = [replace(p, tried=p.old is None or p.old.cell_id in planned) for p in pairs]
    return _compared(old, new, same_percent, pairs)


def compare_named(
    old: Run, new: Run, names: tuple[str, str], same_percent: float = SAME_PERCENT
) -> Compared:
    """Compare the first named cell of `old` with the second of `new`, which may be the same run."""
    first, second = find_cell(old, names[0]), find_cell(new, names[1])
    pair = compare_cells((old, first), (new, second), same_percent)
    return _compared(old, new, same_percent, [pair])


def find_cell(run: Run, name: str) -> CellResult:
    """The only cell with this id, or whose id matches the glob or contains the text.

    Raises UsageError with the candidates if there is none, or more than one.
    """
    results = {r.cell.id: r for r in run.results}
    if name in results:
        return results[name]
    found = [i for i in results if fnmatch.fnmatchcase(i, name)] or [
        i for i in results if name in i
    ]
    if len(found) == 1:
        return results[found[0]]
    count = f"{len(found)} cells match" if found else "no cell matches"
    listed = ", ".join((found or list(results))[:8])
    raise UsageError(f"{run.info.run_id}: {count} '{name}'", f"Name one of {listed}.")


def compare_cells(
    old: tuple[Run, CellResult | None],
    new: tuple[Run, CellResult | None],
    same_percent: float = SAME_PERCENT,
    alike: bool = False,
) -> Pair:
    """Compare two results by their raw samples; unusable ones are not compared, with the reason.

    `alike`: they are the same cell, old and new; then their arrival patterns must be equal.
    """
    (first, before), (second, after) = old, new
    sides = _side(first, before), _side(second, after)
    why = "; ".join(filter(None, (_unusable(first, before), _unusable(second, after))))
    if why or before is None or after is None:
        return Pair(*sides, None, why)
    ways = arrivals(before), arrivals(after)
    if alike and all(ways) and ways[0] != ways[1]:
        why = (
            f"different arrival patterns: {ways[0]} → {ways[1]}; use --cells to compare them anyway"
        )
        return Pair(*sides, None, why)
    try:
        a, b = (_latencies(run, result) for run, result in ((first, before), (second, after)))
    except BenchError as error:
        return Pair(*sides, None, error.message)
    wrong = impossible([*a, *b]) or _fewer(before, a) or _fewer(after, b)
    if wrong:
        return Pair(*sides, None, wrong[0])
    interleaved = first.folder.resolve() == second.folder.resolve() and before is not after
    comparison = compare(a, b, interleaved, same_percent, one_cell=before.cell == after.cell)
    return Pair(*sides, comparison, "", cell_differences(before, after))


def _compared(old: Run, new: Run, same_percent: float, pairs: Sequence[Pair]) -> Compared:
    differences = run_differences(old.info, new.info)
    return Compared(old.info.run_id, new.info.run_id, same_percent, differences, tuple(pairs))


def _side(run: Run, result: CellResult | None) -> Side | None:
    if result is None:
        return None
    summary = result.summary if result.verdict != "invalid" else None
    return Side(
        run_id=run.info.run_id,
        cell_id=result.cell.id,
        p50=summary.p50 if summary else None,
        n=summary.n if summary else 0,
        verdict=result.verdict or result.status,
        reasons=result.reasons,
        device=result.cell.device,
        host=run.info.host,
    )


def _fewer(result: CellResult, samples: Sequence[Samples]) -> list[str]:
    """Whether the samples on disk differ from those of the result."""
    there, said = sum(map(len, samples)), result.summary.n if result.summary else 0
    if there == said:
        return []
    return [f"{result.cell.id}: {there} samples on disk, but the result has {said}"]


def _number(side: Side | None) -> bool:
    return side is not None and side.p50 is not None


def _unusable(run: Run, result: CellResult | None) -> str:
    """Why a result cannot be compared; suspect results can."""
    if result is None:
        return f"not in {run.info.run_id}"
    if result.status == "ok" and result.verdict in ("valid", "suspect") and result.trials:
        return ""
    word = result.status if result.status != "ok" else str(result.verdict)
    return f"{word} in {run.info.run_id}: {'; '.join(result.reasons) or 'no reason recorded'}"


def _latencies(run: Run, result: CellResult) -> list[Samples]:
    trials = sorted(result.trials, key=lambda trial: trial.index)
    return [read_samples(run.folder, trial)["latency_ns"] for trial in trials]
