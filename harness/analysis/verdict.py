"""Whether a cell's number may be believed, and whether a run keeps its gates. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Cell, CellResult, Placement, Summary, Trial, Verdict
from ..scenario.config import Scenario
from ..store import Run
from . import proof


def judge(
    cell: Cell,
    trials: Sequence[Trial],
    summary: Summary,
    impossible: Sequence[str] = (),
    placement: Placement | None = None,
    profile: str = "",
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and all that speaks against the number."""
    elsewhere, _ = proof.unasked_places(placement)
    wrong = [*impossible, *_affinity(cell, trials), *_void(trials), *elsewhere]
    doubts = [
        *proof.untrusted_profile(profile),
        *proof.wrong_threads(trials, cell.threads),
        *summary.flags,
    ]
    if wrong:
        return "invalid", (*wrong, *doubts)
    return ("suspect" if doubts else "valid"), tuple(doubts)


def _void(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(f"trial {t.index}: {t.void}" for t in trials if t.void))


def _affinity(cell: Cell, trials: Sequence[Trial]) -> list[str]:
    wrong = [t for t in trials if len(t.affinity) != cell.threads]
    if not wrong:
        return []
    seen = len(wrong[0].affinity)
    return [f"asked for {cell.threads} CPUs, the process had {seen}; ask for fewer threads"]


def broken_gates(run: Run, scenario: Scenario) -> list[str]:
    """One line for each measured cell and limit of `gates:` that it does not keep."""
    gates = scenario.file.gates
    references = {
        r.cell.model: r.scores.values["map50_95"] / r.parity.metric_ratio
        for r in run.results
        if r.scores and r.parity and r.parity.metric_ratio and "map50_95" in r.scores.values
    }
    broken: list[str] = []
    for result in run.results:
        if result.summary and gates.p50_ms and result.verdict == "invalid":
            seen = f"not shown to be under {gates.p50_ms:g} ms, the number is invalid"
            broken.append(f"{result.cell.id}: p50_ms: {seen}")
        elif result.summary and gates.p50_ms and result.summary.p50.low > gates.p50_ms:
            seen = f"{result.summary.p50.value:.3g} ms, surely over {gates.p50_ms:g} ms"
            broken.append(f"{result.cell.id}: p50_ms: {seen}")
        elif result.summary and gates.p50_ms and _doubtful(result, gates.p50_ms):
            seen = f"{result.summary.p50.value:.3g} ms > {gates.p50_ms:g} ms, and suspect"
            broken.append(f"{result.cell.id}: p50_ms: {seen}")
        if result.artifact and gates.size_mb and result.artifact.size_bytes > gates.size_mb * 1e6:
            seen = f"{result.artifact.size_bytes / 1e6:.3g} MB > {gates.size_mb:g} MB"
            broken.append(f"{result.cell.id}: size_mb: {seen}")
        value = result.scores.values.get("map50_95") if result.scores else None
        if gates.map50_95_drop is not None and result.status == "ok":
            reference = references.get(result.cell.model)
            if value is None or reference is None:
                what = "it has no mAP" if value is None else "no reference was scored"
                broken.append(f"{result.cell.id}: map50_95_drop: not shown to be kept, {what}")
            elif (drop := reference - value) > gates.map50_95_drop:
                broken.append(
                    f"{result.cell.id}: map50_95_drop: {drop:.4f} > {gates.map50_95_drop:g}"
                )
    return broken


def _doubtful(result: CellResult, limit_ms: float) -> bool:
    """A suspect median over the limit: its interval may reach below, and is suspect itself."""
    over = result.summary is not None and result.summary.p50.value > limit_ms
    return over and result.verdict == "suspect"


def exit_code(run: Run) -> int:
    """0, or 1 when a cell failed, its number is invalid, or a gate broke; skips are no failure."""
    failed = any(r.status == "failed" or r.verdict == "invalid" for r in run.results)
    return 1 if failed or run.info.broken_gates else 0
