"""Prepares a run on this machine: images, artifacts, packs of images, reference outputs.

Images are built while conversions run. Every distinct thing is created once, even if that
fails. Cells of this machine are checked in advance, which fills the cache for their own checks.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import RunEnds, StepFailed
from ..formats import REGISTRY
from ..formats.routes import Route, route_of
from ..records import Artifact, Cell, DeviceSpec, Precision, Step
from ..runner.job import Pass
from ..scenario.model import Model
from ..scenario.scenario import ScoredOn
from ..steps import datasets, tensor_data
from ..steps.convert import check_weights, convert, converted
from ..steps.images import AT_ONCE, heaviest_first
from ..steps.infer import LoadedArtifact, infer, infer_together
from ..steps.jobs import JobLimits, Place, machine_cpus
from ..steps.measure import IMAGES
from ..targets.target import images_here
from ..tasks import takes_images
from . import checks
from .background import Background
from .cell import failed_result, failure_of, load_from
from .job import CellJob, DeviceJob, ModelInputs, RunRules
from .recorder import Recorder, now

T = TypeVar("T")

#: at least so many real images go through the model and its reference
PARITY_IMAGES = 16
#: conversions and checks side by side
JOBS = 2


#: model, conversions, precision
ArtifactKey = tuple[str, Route, Precision]


class Preparation:
    """Starts all preparation in the background; `device_job` waits for what one device needs."""

    def __init__(
        self,
        models: Mapping[str, Model],
        rules: RunRules,
        accuracy: ScoredOn | None,
        recorder: Recorder,
        run_id: str,
        profile: str,
    ) -> None:
        self._models, self._rules, self._accuracy = models, rules, accuracy
        self._recorder, self._run_id, self._profile = recorder, run_id, profile
        self._place = images_here(recorder.engine, recorder.logs, self._log)
        self._shares: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        for share in shares(machine_cpus(), JOBS):
            self._shares.put(share)
        self._images: dict[str, Future[Place]] = {}
        self._artifacts: dict[ArtifactKey, Future[Artifact]] = {}
        self._inputs: dict[str, Future[ModelInputs]] = {}
        self._checks: dict[tuple[str, ...], Future[None]] = {}
        self._lock, self._ended, self._started = threading.Lock(), 0, 0

    def start(self, cells: Sequence[Cell], devices: Mapping[str, DeviceSpec]) -> None:
        """Start: images first, each conversion once its image is built, then what checks need."""
        if not cells:
            return
        builds, jobs = Background("build", AT_ONCE), Background("job", JOBS)
        local = [cell for cell in cells if devices[cell.device].transport == "local"]
        for name in image_names(cells, local, self._models):
            build = self._task("images", f"image {name}", partial(self._place, name))
            self._images[name] = builds.submit(build)
        for model in dict.fromkeys(cell.model for cell in cells):
            make = partial(self._make_inputs, model)
            inputs = self._task("parity", f"reference of {model}", make)
            own = REGISTRY[self._models[model].spec.source].SPEC.image
            self._inputs[model] = jobs.submit(inputs, [self._images[own]])
        for cell in cells:
            self._start_artifact(cell, jobs)
        for cell in local:
            self._start_check(cell, jobs)

    def device_job(self, device: DeviceSpec, cells: Sequence[Cell]) -> DeviceJob | None:
        """The device's job, once prepared; cells whose preparation failed get their result.

        None if no cell is left.
        """
        made = [job for cell in cells if (job := self._cell_job(cell, device))]
        if device.transport == "local":
            for cell in cells:  # its own steps say what is wrong; here it is only waited for
                image = self._images.get(REGISTRY[cell.runs_as].SPEC.image)
                for made_here in (image, self._checks.get(_check_key(cell))):
                    if made_here:
                        made_here.exception()
        if not made:
            return None
        names = dict.fromkeys(job.cell.model for job in made)
        return DeviceJob(
            run_id=self._run_id,
            profile=self._profile,
            device=device,
            engine=self._recorder.engine.name,
            cells=tuple(made),
            models={name: self._inputs[name].result() for name in names},
            rules=self._rules,
        )

    def _start_artifact(self, cell: Cell, jobs: Background) -> None:
        """Every conversion of the cell's route that no other cell has started."""
        if REGISTRY[cell.runs_as].SPEC.converted_on == "device":
            return
        for at, step in enumerate(self._route(cell)):
            key = self._key(cell, at)
            if key in self._artifacts:
                continue
            name = conversion_name(key)
            make = self._task("convert", name, partial(self._make_artifact, cell, at))
            needs: list[Future[Any]] = [self._images[step.conversion.image]]
            if at:
                needs.append(self._artifacts[self._key(cell, at - 1)])
            self._artifacts[key] = jobs.submit(make, needs)

    def _start_check(self, cell: Cell, jobs: Background) -> None:
        key, artifact = _check_key(cell), self._artifact_of(cell)
        if artifact is None or key in self._checks:
            return
        name = f"check {cell.model} as {cell.format} {cell.precision}"
        check = self._task("parity", name, partial(self._check_ahead, cell))
        image = self._images[REGISTRY[cell.runs_as].SPEC.image]
        self._checks[key] = jobs.submit(check, [artifact, image, self._inputs[cell.model]])

    def _cell_job(self, cell: Cell, device: DeviceSpec) -> CellJob | None:
        """The cell's prepared inputs; a failed step becomes its result."""
        artifact = self._artifact_of(cell)
        steps: list[tuple[Step, Future[Any] | None]] = [
            *(("images", self._images.get(step.conversion.image)) for step in self._route(cell)),
            ("convert", artifact),
            ("parity", self._inputs[cell.model]),
        ]
        for step, future in steps:
            error = future.exception() if future else None
            if error is None:
                continue
            if isinstance(error, RunEnds) or not isinstance(error, Exception):
                raise error
            failure = failure_of(error, step, cell, self._recorder)
            emulated = device.emulated
            result = failed_result(self._run_id, cell, failure, now(), emulated=emulated)
            self._recorder.result(result)
            return None
        return CellJob(cell, now(), artifact.result() if artifact else None)

    def _make_artifact(self, cell: Cell, at: int) -> Artifact:
        """The file that step `at` of the cell's route makes."""
        model, step = self._models[cell.model], self._route(cell)[at]
        place, spec = self._images[step.conversion.image].result(), REGISTRY[step.format].SPEC
        source, folder = model.spec, model.folder
        if at:
            before = self._artifacts[self._key(cell, at - 1)].result()
            kind = self._route(cell)[at - 1].format
            source, folder = converted(source, Path(before.path), before.sha256, kind)
        precision = self._key(cell, at)[2]
        with self._limits() as limits:
            return convert(self._recorder.cache, place, source, folder, spec, precision, limits)

    def _route(self, cell: Cell) -> Route:
        return route_of(self._models[cell.model].spec, cell.format)

    def _key(self, cell: Cell, at: int) -> ArtifactKey:
        return artifact_key(cell, self._route(cell), at)

    def _artifact_of(self, cell: Cell) -> Future[Artifact] | None:
        """The file that the cell runs; None if its device makes it."""
        return self._artifacts.get(self._key(cell, -1))

    def _make_inputs(self, name: str) -> ModelInputs:
        """Packs of the model's dataset, and its fp32 reference outputs."""
        model, cache = self._models[name], self._recorder.cache
        check_weights(model.spec, model.folder)
        inputs = self._packs(model)
        weights = model.folder / model.spec.weights
        place = self._images[REGISTRY[model.spec.source].SPEC.image].result()
        sha256 = model.spec.weights_sha256
        reference = LoadedArtifact(
            model.spec, model.folder, model.spec.source, "fp32", weights, sha256, place
        )
        pack = cache / inputs.few_pack
        count = checks.parity_images(pack, self._rules)
        scores = None
        with self._limits() as limits:
            passes = [Pass("outputs", str(pack), count)]
            if self._accuracy:
                passes.append(Pass("predict", str(cache / inputs.full_pack), inputs.images))
            infer_together(cache, passes, reference, limits)
            outputs, _ = infer(cache, "outputs", reference, pack, count, limits)
            if self._accuracy:
                _, scores = checks.predict_and_score(cache, reference, inputs, limits)
        there = str(outputs.relative_to(cache))
        return replace(inputs, reference_outputs=there, reference_scores=scores)

    def _packs(self, model: Model) -> ModelInputs:
        return self._pictures(model) if takes_images(model.spec.task) else self._tensors(model)

    def _tensors(self, model: Model) -> ModelInputs:
        cache, most = self._recorder.cache, max(PARITY_IMAGES, IMAGES)
        samples = tensor_data.read(model.spec, model.first_dataset, model.generators, most)
        pack = str(tensor_data.pack(cache, samples).relative_to(cache))
        return ModelInputs(
            spec=model.spec,
            folder=str(model.folder),
            few_pack=pack,
            full_pack=pack,
            images=len(samples),
            dataset=samples.name,
            annotations="",
            reference_outputs="",
        )

    def _pictures(self, model: Model) -> ModelInputs:
        name = self._accuracy.dataset if self._accuracy else next(iter(model.datasets), None)
        if name is None:
            raise StepFailed(
                f"{model.spec.name} has no dataset; the parity check needs real images",
                "Add a dataset of at least 16 images to model.yaml.",
            )
        dataset, cache = datasets.read(model.datasets[name]), self._recorder.cache
        packs, count = cache / "packs", len(dataset.images)
        few = datasets.evenly(count, max(PARITY_IMAGES, IMAGES))
        chosen = datasets.evenly(count, self._accuracy.images) if self._accuracy else few
        return ModelInputs(
            spec=model.spec,
            folder=str(model.folder),
            few_pack=str(datasets.pack(dataset, packs, few).relative_to(cache)),
            full_pack=str(datasets.pack(dataset, packs, chosen).relative_to(cache)),
            images=len(chosen),
            dataset=dataset.name,
            annotations=str(dataset.annotations),
            reference_outputs="",
        )

    def _check_ahead(self, cell: Cell) -> None:
        """Fill the cache for the cell's own checks on this machine."""
        cache, inputs = self._recorder.cache, self._inputs[cell.model].result()
        artifact = self._artifacts[self._key(cell, -1)].result()
        place = self._images[REGISTRY[cell.runs_as].SPEC.image].result()
        loaded = load_from(cache, artifact, inputs, cell, place)
        with self._limits() as limits:
            checks.run_ahead(cache, loaded, inputs, self._rules, limits)
            if not checks.check_parity(cache, loaded, inputs, self._rules, limits).ok:
                return
            if self._rules.profile_runs:
                checks.profile_layers(cache, loaded, inputs, self._rules, limits)
            if inputs.reference_scores:
                checks.predict(cache, loaded, inputs, limits)

    @contextmanager
    def _limits(self) -> Iterator[JobLimits]:
        """Limits of one job, with its own CPUs: sharing CPUs takes more than twice as long."""
        share = self._shares.get()
        try:
            yield JobLimits(share, self._rules.memory_bytes, self._rules.timeout_s)
        finally:
            self._shares.put(share)

    def _task(self, step: Step, name: str, work: Callable[[], T]) -> Callable[[], T]:
        """`work`, announced, timed and counted."""
        self._started += 1

        def run() -> T:
            self._recorder.event("task", step=step, task=name)
            began, outcome = time.monotonic(), "failed"
            try:
                result = work()
                outcome = "ok"
                return result
            finally:
                self._end(step, name, time.monotonic() - began, outcome)

        return run

    def _end(self, step: Step, name: str, seconds: float, outcome: str) -> None:
        self._recorder.spent(step, seconds)
        with self._lock:
            self._ended += 1
            place = {"n": self._ended, "of": self._started}
        seconds = round(seconds, 3)
        self._recorder.event(
            "task_end", step=step, task=name, seconds=seconds, outcome=outcome, **place
        )

    def _log(self, line: str) -> None:
        self._recorder.event("log", line=line)


def shares(cpus: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    """`cpus` in `count` parts of similar size; with fewer CPUs than parts, they are shared."""
    parts = [cpus[n::count] for n in range(count)]
    return [part or cpus for part in parts]


def image_names(
    cells: Sequence[Cell], local: Sequence[Cell], models: Mapping[str, Model]
) -> list[str]:
    """Images of the references, of converters, and of this machine's cells, heaviest first."""
    references = [REGISTRY[models[cell.model].spec.source].SPEC.image for cell in cells]
    here = [
        step.conversion.image
        for cell in cells
        if REGISTRY[cell.runs_as].SPEC.converted_on == "host"
        for step in route_of(models[cell.model].spec, cell.format)
    ]
    run = [REGISTRY[cell.runs_as].SPEC.image for cell in local]
    return list(dict.fromkeys([*references, *heaviest_first([*here, *run])]))


def artifact_key(cell: Cell, route: Route, at: int) -> ArtifactKey:
    """What step `at` of the cell's route makes; all but the last step keep fp32."""
    made = route[: at % len(route) + 1]
    return cell.model, made, cell.precision if made == route else "fp32"


def conversion_name(key: ArtifactKey) -> str:
    """`convert rio to tflite fp32 (from savedmodel)`: of which file, if not the model's own."""
    model, route, precision = key
    origin = f" (from {route[-1].conversion.source})" if len(route) > 1 else ""
    return f"convert {model} to {route[-1].format} {precision}{origin}"


def _check_key(cell: Cell) -> tuple[str, ...]:
    return cell.model, cell.format, cell.precision, cell.device
