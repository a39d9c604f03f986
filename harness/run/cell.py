"""A cell from the plan to its stored result: every step, in order, in one function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from ..bugs import bug_report
from ..errors import BenchError, CannotRun, RunEnds, StepFailed
from ..formats import REGISTRY
from ..formats.routes import described, route_of
from ..records import (
    Artifact,
    Cell,
    CellResult,
    Failure,
    Image,
    Parity,
    Placement,
    Scores,
    Step,
    Trial,
)
from ..steps.convert import convert
from ..steps.infer import LoadedArtifact, placement_of
from ..steps.jobs import JobLimits, Place
from ..store import raise_if_full
from ..targets.target import Target
from . import checks
from .job import CellJob, DeviceJob, ModelInputs
from .once import Once
from .readable import readable
from .recorder import Recorder, now
from .trial import TrialContext, measure_trial, summarise_cell

T = TypeVar("T")


def cell_steps(cell: CellRun) -> Iterator[None]:
    """Every step of one cell, from the plan to its stored result; a failure is a result, too.

    Artifacts that this machine converts are made in advance (`prepare`). It pauses
    before each trial, since the trials of a device's cells interleave.
    """
    do = cell.do
    try:
        do("deploy", cell.deploy)
        do("convert", cell.take_artifact)
        do("parity", cell.check_parity)
        do("parity", cell.profile_layers)
        do("score", cell.check_accuracy)
        for index in range(cell.job.rules.trials):
            yield
            do("measure", partial(cell.measure, index))
        result = cell.summarise()
    except RunEnds:
        raise
    except Exception as error:  # whatever it is, it costs this cell and no other
        result = cell.failed(error)
    cell.store(result)


class Device(Protocol):
    """What a cell needs from its device worker."""

    @property
    def target(self) -> Target: ...

    def attempt(self, cell: Cell, step: Callable[[], T]) -> T:
        """`step`'s result; retried once if the device was lost and came back."""
        ...

    def holds(self, held: tuple[str, ...]) -> None:
        """Record the measures that were applied during a trial."""
        ...


class CellRun:
    """One cell on its device: the steps and their results so far."""

    def __init__(
        self, cell: CellJob, job: DeviceJob, device: Device, recorder: Recorder, once: Once
    ) -> None:
        self.cell, self.job = cell.cell, job
        self._device, self._recorder, self._once = device, recorder, once
        self._inputs = job.models[cell.cell.model]
        self._started_at = cell.started_at
        self._wall_s: dict[str, float] = {}
        self._at: Step = "deploy"
        self._image: Image | None = None
        self._artifact: Artifact | None = cell.artifact
        self._parity: Parity | None = None
        self._placement: Placement | None = None
        self._scores: Scores | None = None
        self._trials: list[Trial] = []
        self.over = False

    def do(self, step: Step, work: Callable[[], T]) -> T:
        """Run one step: announced, timed, and retried once if the device was lost."""
        self._at = step
        recorder, began = self._recorder, time.monotonic()
        if step != "measure":
            recorder.event("step", cell=self.cell.id, step=step)
        try:
            return self._device.attempt(self.cell, work)
        finally:
            spent = time.monotonic() - began
            if step != "measure":
                recorder.event("step_end", cell=self.cell.id, step=step, seconds=round(spent, 3))
            self._wall_s[step] = self._wall_s.get(step, 0.0) + spent
            recorder.spent(step, spent)

    def deploy(self) -> None:
        """The format's runtime on the device, ready."""
        self._place = self._device.target.place(REGISTRY[self.cell.runs_as].SPEC.image)
        self._image = self._place.image

    def take_artifact(self) -> None:
        """The converted model: from this machine's cache, or converted on the device now."""
        cell, inputs, spec = self.cell, self._inputs, REGISTRY[self.cell.runs_as].SPEC
        cache, source = self._recorder.cache, Path(self._inputs.folder)
        if self._artifact is None:
            self._artifact = self._once.get_or_create(
                ("artifact", cell.model, spec.name, cell.precision),
                lambda: convert(
                    cache, self._place, inputs.spec, source, spec, cell.precision, self._limits()
                ),
            )
        self._loaded = load_from(cache, self._artifact, inputs, cell, self._place)
        self._keep({"convert.log": self._loaded.path.with_name("log.txt")})

    def check_parity(self) -> None:
        """Compare outputs with the reference; raises StepFailed if they differ.

        The passes of later checks run in the same process.
        """
        self._once.get_or_create(("passes", self._loaded.key), self._run_passes)
        self._parity = self._once.get_or_create(
            ("parity", self._loaded.key),
            lambda: checks.check_parity(
                self._recorder.cache, self._loaded, self._inputs, self.job.rules, self._limits()
            ),
        )
        if not self._parity.ok:
            raise StepFailed(
                "parity check failed: outputs differ from the fp32 reference: "
                + "; ".join(self._parity.reasons),
                "Compare the outputs in the cell's parity table.",
            )

    def _run_passes(self) -> None:
        cache, rules = self._recorder.cache, self.job.rules
        checks.run_ahead(cache, self._loaded, self._inputs, rules, self._limits())

    def profile_layers(self) -> None:
        """Which provider or delegate ran what."""
        if not self.job.rules.profile_runs:
            return
        layers = self._once.get_or_create(
            ("profile", self._loaded.key),
            lambda: checks.profile_layers(
                self._recorder.cache, self._loaded, self._inputs, self.job.rules, self._limits()
            ),
        )
        self._placement = placement_of(layers)
        self._keep({"layers.json": layers})

    def check_accuracy(self) -> None:
        """Score accuracy, if configured; raises StepFailed if it dropped too much."""
        reference = self._inputs.reference_scores
        if reference is None:
            return
        predictions, self._scores = self._once.get_or_create(
            ("scores", self._loaded.key),
            lambda: checks.predict_and_score(
                self._recorder.cache, self._loaded, self._inputs, self._limits()
            ),
        )
        self._keep({"predictions.npz": predictions})
        assert self._parity
        ratio = checks.check_accuracy(self._loaded, self._scores, reference)
        known = dict(reference.values)
        self._parity = replace(self._parity, metric_ratio=ratio, reference_metrics=known)

    def measure(self, index: int) -> None:
        """Measure one trial, then write a provisional result."""
        target, cell = self._device.target, self.cell
        context = TrialContext(
            target,
            self._recorder.folder,
            self.job.rules.options,
            self.job.rules.memory_bytes,
            lambda reason: self._recorder.event("wait", device=target.spec.name, reason=reason),
        )
        pack = self._recorder.cache / self._inputs.few_pack
        trial, held = measure_trial(context, cell, index, self._loaded, pack)
        self._trials.append(trial)
        if held:
            self._device.holds(held)
        if len(self._trials) < self.job.rules.trials:
            self._recorder.provisional(readable(self.summarise()))

    def summarise(self) -> CellResult:
        """Statistics and verdict over the trials so far."""
        folder, profile = self._recorder.folder, self.job.profile
        done = summarise_cell(folder, self.cell, self._trials, self._placement, profile)
        return replace(
            self._result(),
            status="ok",
            verdict=done.verdict,
            reasons=done.reasons,
            summary=done.summary,
        )

    def failed(self, error: Exception) -> CellResult:
        """The result of a cell whose step failed; a cell that cannot run is skipped."""
        failure = failure_of(error, self._at, self.cell, self._recorder)
        skipped = isinstance(error, CannotRun)
        return replace(
            self._result(),
            status="skipped" if skipped else "failed",
            verdict=None if skipped else "invalid",
            reasons=(failure.reason,),
            failure=failure,
        )

    def store(self, result: CellResult) -> None:
        """The last step: append the result, synced to disk."""
        self.over = True
        try:
            self._recorder.result(readable(result))
        except StepFailed as error:
            failure = failure_of(error, self._at, self.cell, self._recorder)
            run_id, emulated = self.job.run_id, self.job.device.emulated
            began = self._started_at
            told = failed_result(run_id, self.cell, failure, began, emulated=emulated)
            self._recorder.result(told)

    def _result(self) -> CellResult:
        return CellResult(
            run_id=self.job.run_id,
            cell=self.cell,
            status="failed",
            verdict="invalid",
            reasons=(),
            started_at=self._started_at,
            finished_at=now(),
            image=self._image,
            artifact=self._artifact,
            parity=self._parity,
            trials=tuple(self._trials),
            scores=self._scores,
            compute=REGISTRY[self.cell.runs_as].SPEC.precisions[self.cell.precision],
            emulated=self.job.device.emulated,
            wall_s=dict(self._wall_s),
            placement=self._placement,
            route=described(route_of(self._inputs.spec, self.cell.format)),
        )

    def _limits(self) -> JobLimits:
        rules, own = self.job.rules, self.job.device.memory_mb
        memory_bytes = own * 10**6 if own else rules.memory_bytes
        return JobLimits(self._device.target.all_cpus(), memory_bytes, rules.timeout_s)

    def _keep(self, files: dict[str, Path | None]) -> None:
        self._recorder.keep(self.cell, files)


def load_from(
    cache: Path, artifact: Artifact, inputs: ModelInputs, cell: Cell, place: Place
) -> LoadedArtifact:
    """The artifact in this machine's cache, to be loaded at `place`."""
    path = cache / "artifacts" / artifact.key / Path(artifact.path).name
    source = Path(inputs.folder)
    return LoadedArtifact(
        inputs.spec, source, cell.runs_as, cell.precision, path, artifact.sha256, place
    )


def failure_of(error: Exception, step: Step, cell: Cell, recorder: Recorder) -> Failure:
    """The failure for an exception; an unexpected one leaves its traceback in the folder."""
    if isinstance(error, BenchError):
        return Failure(step, error.message, error.hint)
    if isinstance(error, OSError):
        raise_if_full(error)
    report = bug_report(error, f"{step} of {cell.id}")
    path = recorder.bug(cell, report.text)
    return Failure(step, report.line, f"Report it with the contents of {path}.", "bug")


def failed_result(
    run_id: str, cell: Cell, failure: Failure, started_at: str, *, emulated: bool
) -> CellResult:
    """The result of a cell that never reached its device."""
    return CellResult(
        run_id=run_id,
        cell=cell,
        status="failed",
        verdict="invalid",
        reasons=(failure.reason,),
        started_at=started_at,
        finished_at=now(),
        failure=failure,
        compute=REGISTRY[cell.runs_as].SPEC.precisions[cell.precision],
        emulated=emulated,
    )
