"""A monitored trial: preconditions before it, a sampler during it, a verdict after it.

A trial whose device throttled, or whose lease may have been lost, is discarded and repeated, at
most twice; if the last one is discarded, too, the cell is invalid. The timed process is not
involved.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..monitor import energy, preconditions, state_file
from ..monitor.judge import Verdicts, judge_state
from ..monitor.retry import run_with_redo
from ..monitor.sampler import Watch
from ..ondevice import lease
from ..records import DeviceState, Trial
from ..runner.job import MeasureOptions
from ..store import read_samples
from ..targets.target import Target

#: the sampler's deadline is later than the job's by so much, seconds
AFTER_S = 60.0
#: trials of at least so many seconds wait for a quiet device; load during any trial is judged
LONG_S = 10.0


@dataclass(frozen=True)
class Monitoring:
    """How a trial is monitored. `quiet_s`: the longest wait for background load to end."""

    target: Target
    #: the run's folder
    run: Path
    cpus: tuple[int, ...]
    deadline_s: float
    quiet_s: float
    on_wait: Callable[[str], None]


def quiet_s(rules: MeasureOptions) -> float:
    """How long to wait for background load to end: only profiles with long trials do."""
    return preconditions.QUIET_WAIT_S if rules.min_s >= LONG_S else 0.0


@dataclass(frozen=True)
class _Done:
    trial: Trial
    verdicts: Verdicts
    held: tuple[str, ...]


def monitored(
    monitoring: Monitoring, measure: Callable[[], Trial]
) -> tuple[Trial, tuple[str, ...]]:
    """The trial with the verdicts on its device's state, and the measures applied.

    Raises StepFailed for an unfit device (battery, storage), and what `measure` raises.
    """

    def again(attempt: int) -> _Done:
        if attempt:
            _set_apart(monitoring.run, done_before[-1].trial, attempt)
        done_before.append(_once(monitoring, measure))
        return done_before[-1]

    done_before: list[_Done] = []
    done = run_with_redo(again, lambda one: one.verdicts.void)
    last = done.result
    trial = replace(last.trial, voided=done.voided, void=done.invalid or "")
    return trial, last.held


def _set_apart(run: Path, void: Trial, attempt: int) -> None:
    """Keep the samples of a discarded trial: `trial-0-discarded-1`."""
    folder = run / void.folder
    aside = folder.with_name(f"{folder.name}-discarded-{attempt}")
    shutil.rmtree(aside, ignore_errors=True)  # of an interrupted run
    folder.rename(aside)


def _once(monitoring: Monitoring, measure: Callable[[], Trial]) -> _Done:
    target = monitoring.target
    target.claim(monitoring.on_wait)
    since = lease.clock()
    limits = preconditions.limits_of(target.spec)
    ready = preconditions.wait_until_ready(
        lambda: _state(target), limits, on_wait=monitoring.on_wait
    )
    with target.steady() as held, _watch(monitoring) as watch:
        loaded = preconditions.wait_until_quiet(
            lambda: watch.readings,
            lambda: watch.over,
            most_s=monitoring.quiet_s,
            on_wait=monitoring.on_wait,
        )
        idle = watch.idle(energy.IDLE_S)
        trial = measure()
    watched = watch.watched
    state_file.write(monitoring.run / trial.folder / "state.jsonl", watched)
    samples = read_samples(monitoring.run, trial)
    ends = [0, -1] if len(samples["latency_ns"]) else []
    starts, latencies = (samples[name][ends].tolist() for name in ("start_ns", "latency_ns"))
    window = energy.window_of(starts, latencies, trial.boot_offset_s)
    verdicts = judge_state(
        watched.readings,
        ready.state,
        _state(target),
        cpus=monitoring.cpus,
        window=window,
        min_battery_percent=target.spec.min_battery_percent,
    )
    unsure = target.why_unsure(since)
    trial = replace(
        trial,
        sampler_cpu_percent=watched.sampler_cpu_percent,
        energy=energy.energy_of(watched, window, len(samples["latency_ns"]), idle),
        state_flags=(*ready.flags, *loaded, *verdicts.flags),
        state_notes=(*ready.notes, *watched.notes, *verdicts.notes),
    )
    return _Done(trial, replace(verdicts, void=unsure or verdicts.void), held)


def _state(target: Target) -> DeviceState:
    return target.kind.read_state(target.transport)


def _watch(monitoring: Monitoring) -> Watch:
    target = monitoring.target
    apart = tuple(cpu for cpu in target.all_cpus() if cpu not in monitoring.cpus)
    return Watch(
        target.transport,
        target.spec.kind,
        target.workdir,
        monitoring.deadline_s + monitoring.quiet_s + AFTER_S,
        cpus=monitoring.cpus,
        apart=apart,
    )
