"""Measures one trial of a cell, and summarises its trials: for runs and for `replay`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..analysis import flags
from ..analysis.summary import summarise
from ..analysis.verdict import judge
from ..records import Cell, Placement, Summary, Trial, Verdict
from ..runner.job import MeasureOptions
from ..steps import measure
from ..steps.infer import LoadedArtifact
from ..steps.jobs import JobLimits
from ..store import read_samples
from ..targets.target import Target
from .monitored_trial import Monitoring, monitored, quiet_s


@dataclass(frozen=True)
class TrialContext:
    """Where trials run, and by which rules."""

    target: Target
    #: the run's folder
    run: Path
    rules: MeasureOptions
    #: where the device has no limit of its own
    memory_bytes: int
    on_wait: Callable[[str], None] = lambda reason: None


@dataclass(frozen=True)
class Summarised:
    """The summary of a cell's trials."""

    summary: Summary
    verdict: Verdict
    reasons: tuple[str, ...]


def measure_trial(
    context: TrialContext, cell: Cell, index: int, loaded: LoadedArtifact, pack: Path
) -> tuple[Trial, tuple[str, ...]]:
    """The trial, stored or measured now, and the measures applied to the device.

    Raises StepFailed for an unfit device (battery, storage) and what `run_job` raises.
    """
    made_of = measure.made_of(loaded, pack, context.rules)
    known = measure.finished_trial(context.run, cell, index, made_of)
    if known:
        return known, ()
    target, rules = context.target, context.rules
    own = target.spec.memory_mb
    limits = JobLimits(
        target.cpus(cell.threads),
        own * 10**6 if own else context.memory_bytes,
        measure.deadline_s(rules, target.spec.emulated),
    )
    monitoring = Monitoring(
        target, context.run, limits.cpus, limits.timeout_s, quiet_s(rules), context.on_wait
    )
    trial, held = monitored(
        monitoring,
        lambda: measure.run_trial(context.run, cell, index, loaded, pack, rules, limits),
    )
    return measure.keep_trial(context.run, trial), held


def summarise_cell(
    run: Path,
    cell: Cell,
    trials: Sequence[Trial],
    placement: Placement | None,
    profile: str,
) -> Summarised:
    """Statistics and verdict over the trials, from the samples in the run's folder."""
    samples = [read_samples(run, trial) for trial in trials]
    summary = summarise(trials, samples)
    wrong = flags.backwards(samples)
    verdict, reasons = judge(cell, trials, summary, wrong, placement, profile)
    return Summarised(summary, verdict, reasons)
