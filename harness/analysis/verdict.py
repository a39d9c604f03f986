"""Whether a cell's number may be believed, and whether a run keeps its gates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .. import metrics
from ..records import Cell, CellResult, Placement, Summary, Trial, Verdict
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
    """A system that pins no process (macOS) tells none."""
    wrong = [t for t in trials if t.affinity and len(t.affinity) != cell.threads]
    if not wrong:
        return []
    seen = len(wrong[0].affinity)
    return [f"asked for {cell.threads} CPUs, the process had {seen}; ask for fewer threads"]


def broken_gates(run: Run, gates: Mapping[str, float]) -> list[str]:
    """One line for each measured cell and limit of `gates:` that it does not meet."""
    return [
        f"{result.cell.id}: {line}" for result in run.results for line in _broken(result, gates)
    ]


def _broken(result: CellResult, gates: Mapping[str, float]) -> Iterator[str]:
    limit_ms, limit_mb = gates.get("p50_ms"), gates.get("size_mb")
    if result.summary and limit_ms and (seen := _too_slow(result, result.summary, limit_ms)):
        yield f"p50_ms: {seen}"
    if result.artifact and limit_mb and result.artifact.size_bytes > limit_mb * 1e6:
        yield f"size_mb: {result.artifact.size_bytes / 1e6:.3g} MB > {limit_mb:g} MB"
    if result.status != "ok":
        return
    for key, value in metrics.gates().items():
        if key in gates and (seen := _too_inaccurate(result, value, gates[key])):
            yield f"{key}: {seen}"


def _too_slow(result: CellResult, summary: Summary, limit_ms: float) -> str | None:
    if result.verdict == "invalid":
        return f"not shown to be under {limit_ms:g} ms, the number is invalid"
    if summary.p50.low > limit_ms:
        return f"{summary.p50.value:.3g} ms, above {limit_ms:g} ms (95 % CI)"
    if _doubtful(result, limit_ms):
        return f"{summary.p50.value:.3g} ms > {limit_ms:g} ms, and suspect"
    return None


def _too_inaccurate(result: CellResult, about: metrics.Value, limit: float) -> str | None:
    value = result.scores.values.get(about.name) if result.scores else None
    reference = _reference(result, about.name, value)
    if value is None or reference is None:
        why = f"it has no {about.title}" if value is None else "no reference was scored"
        return f"not shown to be met, {why}"
    worse = about.worse_by(value, reference)
    return f"{worse:.4f} > {limit:g}" if worse > limit else None


def _reference(result: CellResult, name: str, value: float | None) -> float | None:
    """The fp32 reference's; of older runs, which kept the ratio alone, the first value's."""
    parity = result.parity
    if parity is None:
        return None
    if name in parity.reference_metrics:
        return parity.reference_metrics[name]
    scores = result.scores.values if result.scores else {}
    first = metrics.headline(scores)
    is_first = first is not None and first.name == name
    return value / parity.metric_ratio if is_first and value and parity.metric_ratio else None


def _doubtful(result: CellResult, limit_ms: float) -> bool:
    """A suspect median over the limit: its interval may reach below, and is suspect itself."""
    over = result.summary is not None and result.summary.p50.value > limit_ms
    return over and result.verdict == "suspect"


def exit_code(run: Run) -> int:
    """0, or 1 when a cell failed, its number is invalid, or a gate broke; skips are no failure."""
    failed = any(r.status == "failed" or r.verdict == "invalid" for r in run.results)
    return 1 if failed or run.info.broken_gates else 0
