"""The verdict on a cell's result, and a run's gates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import metrics
from ..metrics import Gate
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
    """The verdict and its reasons."""
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
    """Unknown on systems without CPU pinning (macOS)."""
    wrong = [t for t in trials if t.affinity and len(t.affinity) != cell.threads]
    if not wrong:
        return []
    seen = len(wrong[0].affinity)
    return [f"{cell.threads} CPUs requested, but the process had {seen}; use fewer threads"]


def broken_gates(run: Run, gates: Mapping[str, float]) -> list[str]:
    """One line for each measured cell and gate that failed."""
    return [
        f"{result.cell.id}: {key}: {said}"
        for result in run.results
        for key, limit in gates.items()
        if (said := _exceeds(key, limit, result))
    ]


def _exceeds(key: str, limit: float, result: CellResult) -> str:
    if key == "p50_ms":
        return _too_slow(result, limit)
    if key == "size_mb":
        return _too_large(result, limit)
    gate = metrics.gates().get(key)
    return _too_inaccurate(gate, limit, result) if gate and result.status == "ok" else ""


def _too_slow(result: CellResult, limit_ms: float) -> str:
    """A suspect median above the limit fails even if its interval reaches below."""
    if result.summary is None:
        return ""
    if result.verdict == "invalid":
        return f"invalid latency (limit {limit_ms:g} ms)"
    seen = f"{result.summary.p50.value:.3g} ms"
    if result.summary.p50.low > limit_ms:
        return f"{seen}, above {limit_ms:g} ms (95 % CI)"
    if result.summary.p50.value > limit_ms and result.verdict == "suspect":
        return f"{seen} > {limit_ms:g} ms (suspect)"
    return ""


def _too_large(result: CellResult, limit_mb: float) -> str:
    if result.artifact is None or result.artifact.size_bytes <= limit_mb * 1e6:
        return ""
    return f"{result.artifact.size_bytes / 1e6:.3g} MB > {limit_mb:g} MB"


def _too_inaccurate(gate: Gate, limit: float, result: CellResult) -> str:
    """Only for cells whose metric has the value; an unknown value fails."""
    scores, name = result.scores, gate.value.name
    if scores and not _yields(scores.metric, name):
        return ""
    if scores is None or name not in scores.values:
        return f"no {gate.value.title}"
    value, reference = scores.values[name], _reference(result, name)
    if gate.on_reference and reference is None:
        return "no score of the fp32 reference"
    return gate.excess(limit, value, reference or 0.0)


def _yields(metric: str, name: str) -> bool:
    """Whether the metric has the value; assumed for unknown metrics."""
    known = metrics.REGISTRY.get(metric)
    return known is None or any(value.name == name for value in known.SPEC.values)


def _reference(result: CellResult, name: str) -> float | None:
    """The fp32 reference's value; older runs stored only the ratio of the first value."""
    parity, scores = result.parity, result.scores
    if parity is None or scores is None:
        return None
    if name in parity.reference_metrics or not parity.metric_ratio:
        return parity.reference_metrics.get(name)
    first = next((v.name for v in metrics.shown() if v.held and v.name in scores.values), "")
    return scores.values[name] / parity.metric_ratio if name == first else None


def exit_code(run: Run) -> int:
    """0, or 1 if a cell failed or is invalid, or a gate failed; skipped cells do not count."""
    failed = any(r.status == "failed" or r.verdict == "invalid" for r in run.results)
    return 1 if failed or run.info.broken_gates else 0
