"""Trials: a fresh process each, interleaved over a device's cells in a seeded random order."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..cache import digest
from ..errors import StepFailed
from ..payload import payload
from ..records import Cell, Trial
from ..runner.job import VERSION, Job, MeasureOptions, TrialAnswer
from ..runner.patterns import longest_loop_s
from ..serial import dumps
from ..untrusted.arrays import LARGEST_BYTES
from ..untrusted.budget import Budget, Leaf
from ..untrusted.removal import remove
from ..untrusted.results import check_samples
from ..untrusted.text import read_record
from .infer import LoadedArtifact
from .jobs import JobLimits, Output, run_job

#: images that a trial rotates through, at most
IMAGES = 16
EMULATED_PATIENCE = 10


def schedule(cells: Sequence[Cell], trials: int, seed: int) -> list[tuple[Cell, int]]:
    """`trials` rounds; each round has every cell once, in its own shuffled order."""
    order = random.Random(seed)
    rounds = [[(cell, index) for cell in cells] for index in range(trials)]
    for entries in rounds:
        order.shuffle(entries)
    return [entry for entries in rounds for entry in entries]


def deadline_s(rules: MeasureOptions, emulated: bool = False) -> float:
    """A trial that runs longer is considered hung: three times all its caps, and a minute to load.

    An emulated processor is 20 to 40 times slower, and may not even get through a chunk in time.
    """
    caps_s = 3 * (rules.warmup_cap_s + longest_loop_s(rules) + rules.stages_cap_s) + 60
    return EMULATED_PATIENCE * caps_s if emulated else caps_s


def run_trial(
    run: Path,
    cell: Cell,
    index: int,
    loaded: LoadedArtifact,
    pack: Path,
    rules: MeasureOptions,
    limits: JobLimits,
) -> Trial:
    """Measure once into `run/cells/<id>/trial-<index>`; raises like `run_job`.

    It counts when `keep_trial` has written it down.
    """
    relative = f"cells/{cell.id}/trial-{index}"
    folder = run / relative
    remove(folder)  # incomplete, of an interrupted run
    folder.mkdir(parents=True)
    job = Job(
        version=VERSION,
        mode="trial",
        format=loaded.format,
        precision=loaded.precision,
        threads=cell.threads,
        model=loaded.model,
        source=str(loaded.source),
        artifact=str(loaded.path),
        pack=str(pack),
        images=min(IMAGES, rules.pictures),
        measure=rules,
    )
    began = time.monotonic()
    samples = Output(Leaf("samples.npz", Budget(LARGEST_BYTES)), check_samples)
    answer = run_job(loaded.place, folder, job, limits, TrialAnswer, [samples])
    trial = _record(index, relative, answer, time.monotonic() - began)
    return replace(trial, made_of=made_of(loaded, pack, rules))


def made_of(loaded: LoadedArtifact, pack: Path, rules: MeasureOptions) -> str:
    """Hash of artifact, runtime and sandbox, runner, images and the options of a trial."""
    confinement = loaded.place.image.confinement
    return digest(loaded.key, confinement, payload().sha256, pack.name, rules)


def keep_trial(run: Path, trial: Trial) -> Trial:
    """Store the trial: a resumed run does not measure it again."""
    (run / trial.folder / "trial.json").write_text(dumps(trial), encoding="utf-8")
    return trial


def finished_trial(run: Path, cell: Cell, index: int, made_of: str) -> Trial | None:
    """A complete trial of an interrupted run with the same inputs; else None."""
    try:
        trial = read_record(Trial, run / f"cells/{cell.id}/trial-{index}/trial.json", run)
    except StepFailed:
        return None
    return trial if trial.made_of == made_of else None


def _record(index: int, folder: str, answer: TrialAnswer, wall_s: float) -> Trial:
    return Trial(
        index=index,
        folder=folder,
        load_ms=answer.load_ms,
        first_ms=answer.first_ms,
        import_ms=answer.import_ms,
        warmup_s=answer.warmup_s,
        loop_s=answer.loop_s,
        stages_s=answer.stages_s,
        settled=answer.settled,
        stopped_by=answer.stopped_by,
        peak_rss_bytes=answer.peak_rss_bytes,
        os_threads=answer.os_threads,
        affinity=answer.affinity,
        runtime_version=answer.runtime_version,
        python_version=answer.python_version,
        wall_s=wall_s,
        before=answer.before,
        after=answer.after,
        memory=answer.memory,
        busy_threads=answer.busy_threads,
        thread_percent=answer.thread_percent,
        arrivals=answer.arrivals,
        boot_offset_s=answer.boot_offset_s,
        unbound=answer.unbound,
    )
