"""Measures a cell of a finished run again, from its folder: is the result reproducible?

Same artifact (by its sha256), image, threads and rules; only the trials are new. Nothing is
converted, checked or scored again.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from .. import __version__
from ..analysis.compare_runs import Pair, compare_cells
from ..cache import digest, tree_sha256
from ..errors import BenchError, StepFailed, UsageError
from ..formats import REGISTRY
from ..payload import payload
from ..records import Artifact, Cell, CellResult, Plan, RunInfo, Trial
from ..runner.job import VERSION, Job, MeasureOptions
from ..scenario import config
from ..scenario.mistakes import neighbours
from ..scenario.model import Model
from ..steps import datasets, measure
from ..steps.convert import check_weights
from ..steps.infer import LoadedArtifact
from ..steps.jobs import Place
from ..store import Run, RunFolder, read_run, sole_writer
from ..targets.target import Target
from ..untrusted import files, text
from .pipeline import git_state, new_folder
from .recorder import now
from .trial import TrialContext, measure_trial, summarise_cell

#: valid names in the cache: the run's folder may come from elsewhere
_NAME: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
OnTrial = Callable[[int, int], None]


@dataclass(frozen=True)
class Original:
    """A measured cell from a run's folder."""

    run: Run
    result: CellResult
    artifact: Artifact
    rules: MeasureOptions
    memory_bytes: int


@dataclass(frozen=True)
class Replayed:
    """The new run, and the comparison of the old result with the new one."""

    folder: Path
    pair: Pair


def read_original(cell: Path) -> Original:
    """Read `runs/<run>/cells/<cell>`; raises UsageError or BenchError for what is missing."""
    cell = cell.resolve()
    run = read_run(cell.parent.parent)
    result = next((r for r in run.results if r.cell.id == cell.name), None)
    if result is None:
        known = ", ".join(r.cell.id for r in run.results if r.trials) or "none"
        raise UsageError(f"{cell}: not a cell of {run.info.run_id}", f"Choose one of {known}.")
    if not result.trials or result.artifact is None or result.status != "ok":
        why = "; ".join(result.reasons) or result.status
        raise BenchError(f"{cell.name} was not measured: {why}", "Choose a measured cell.")
    job = _job(run.folder, result.trials[0])
    assert job.measure
    measuring = config.read_scenario(_own(run.folder / "scenario.yaml")).measuring
    return Original(run, result, result.artifact, job.measure, measuring.memory_bytes)


def _own(path: Path) -> Path:
    """A file of the run; raises BenchError for a link."""
    try:
        files.read(path, text.RECORD_BYTES)
    except StepFailed as error:
        raise BenchError(error.message, "Restore the file.") from None
    return path


def replay(
    original: Original,
    models: dict[str, Model],
    target: Target,
    cache: Path,
    runs: Path,
    trials: int | None = None,
    on_trial: OnTrial = lambda index, count: None,
) -> Replayed:
    """Measure again on `target` into a new run; `trials` defaults to the original number.

    Raises BenchError if model or artifact are missing or changed, StepFailed if a trial fails,
    and what `target` raises.
    """
    result, cell = original.result, replace(original.result.cell, device=target.spec.name)
    model = _model(original, models)
    path = find_artifact(original, cache)
    place = target.place(REGISTRY[cell.runs_as].SPEC.image)
    sha256 = original.artifact.sha256
    loaded = LoadedArtifact(
        model.spec, model.folder, cell.runs_as, cell.precision, path, sha256, place
    )
    pack = _pack(original, model, cache)
    folder = new_folder(runs, "replay")
    count = trials or len(result.trials)
    with sole_writer(folder):
        run = _create(original, cell, place, folder)
        context = TrialContext(target, folder, original.rules, original.memory_bytes)
        done: list[Trial] = []
        for index in range(count):
            on_trial(index, count)
            done.append(measure_trial(context, cell, index, loaded, pack)[0])
        run.add(_result(original, cell, target, place, folder, done))
        run.write_info(replace(read_run(folder).info, finished_at=now()))
    new = read_run(folder)
    return Replayed(new.folder, compare_cells((original.run, result), (new, new.results[0])))


def find_artifact(original: Original, cache: Path) -> Path:
    """The unchanged converted model in the cache; raises BenchError that says how to restore it."""
    known = original.artifact
    path = cache / "artifacts" / known.key / Path(known.path).name
    scenario = original.run.folder / "scenario.yaml"
    again = f"`bench run {scenario} --only {original.result.cell.id}`"
    if not (_NAME.fullmatch(known.key) and _NAME.fullmatch(path.name) and path.exists()):
        raise BenchError(
            f"{path}: artifact no longer in the cache", f"Convert it again with {again}."
        )
    files.check(path)
    seen = tree_sha256(path)
    if seen != known.sha256:
        what = f"{path}: sha256 is {seen}, expected {known.sha256}"
        raise BenchError(what, f"Delete {path.parent}, then convert it again with {again}.")
    return path


def _job(run: Path, trial: Trial) -> Job:
    path = run / trial.folder / "job.json"
    try:
        job = text.read_record(Job, path, run)
    except StepFailed as error:
        raise BenchError(
            f"{path}: {error.message}",
            "Restore the file, or use the version of bench that wrote it.",
        ) from None
    if job.version != VERSION or job.measure is None:
        what = f"{path}: {job.mode} job of version {job.version}, expected version {VERSION}"
        raise BenchError(what, "Replay it with the version of bench that wrote it.")
    return job


def _model(original: Original, models: dict[str, Model]) -> Model:
    name = original.result.cell.model
    if name not in models:
        raise UsageError(f"unknown model '{name}'{neighbours(name, list(models))}")
    job = _job(original.run.folder, original.result.trials[0])
    if job.model != models[name].spec:
        raise BenchError(
            f"{name}: model.yaml has changed since the run",
            f"Restore the model of {original.result.trials[0].folder}/job.json, or check out "
            f"{original.run.info.git or 'the commit of the run'}.",
        )
    check_weights(models[name].spec, models[name].folder)
    return models[name]


def _pack(original: Original, model: Model, cache: Path) -> Path:
    """The images that the run's trials rotated through."""
    name = original.run.info.dataset or next(iter(model.datasets))
    if name not in model.datasets:
        known = neighbours(name, list(model.datasets))
        raise BenchError(f"{model.spec.name} no longer has the dataset '{name}'{known}")
    dataset = datasets.read(model.datasets[name])
    few = datasets.evenly(len(dataset.images), measure.IMAGES)
    return datasets.pack(dataset, cache / "packs", few)


def _create(original: Original, cell: Cell, place: Place, folder: Path) -> RunFolder:
    old, before = original.run.info, original.result.cell
    where = f" --device {cell.device}" if cell.device != before.device else ""
    plan = Plan((cell,), ())
    info = RunInfo(
        run_id=folder.name,
        scenario=old.scenario,
        profile=old.profile,
        started_at=now(),
        harness_version=__version__,
        harness_sha256=payload().sha256,
        git=git_state(Path(__file__).parent),
        engine=old.engine if place.image.engine == "bundle" else place.image.engine,
        plan_sha256=digest("replay", old.run_id, plan),
        command=f"bench replay {original.run.folder / 'cells' / before.id}{where}",
        host=platform.node(),
        confinement=place.image.confinement,
        dataset=old.dataset,
        notes=(
            f"repeats {before.id} of {old.run_id}; "
            "parity, accuracy and placement are from that run",
        ),
    )
    scenario = files.read(original.run.folder / "scenario.yaml", text.RECORD_BYTES)
    return RunFolder.create(folder, info, plan, scenario.decode("utf-8"))


def _result(
    original: Original,
    cell: Cell,
    target: Target,
    place: Place,
    folder: Path,
    trials: list[Trial],
) -> CellResult:
    """Copies parity, scores and placement only for the same image and device."""
    old, profile = original.result, original.run.info.profile
    same = old.image is not None and old.image.digest == place.image.digest
    same = same and cell.device == old.cell.device
    placement = old.placement if same else None
    new = summarise_cell(folder, cell, trials, placement, profile)
    return replace(
        old,
        run_id=folder.name,
        cell=cell,
        verdict=new.verdict,
        reasons=new.reasons,
        started_at=trials[0].before.taken_at,
        finished_at=now(),
        image=place.image,
        parity=old.parity if same else None,
        scores=old.scores if same else None,
        placement=placement,
        trials=tuple(trials),
        summary=new.summary,
        emulated=target.spec.emulated,
        wall_s={"measure": sum(t.wall_s for t in trials)},
    )
