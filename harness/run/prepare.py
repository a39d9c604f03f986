"""build → convert → parity → score: all that a cell needs before its first timed run.

Every distinct thing is made once a run, also when making it fails: two cells that differ in
threads share an artifact, its parity and its accuracy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import tasks
from ..containers import ContainerEngine
from ..errors import BenchError, DeviceLost, StepFailed
from ..formats import REFERENCE, REGISTRY
from ..records import Artifact, Cell, Image, Parity, Placement, Scores, Step
from ..scenario.config import Model
from ..steps import datasets, parity
from ..steps.convert import check_weights, convert
from ..steps.infer import Loadable, infer, placement_of
from ..steps.jobs import Limits, Place, machine_cpus
from ..steps.measure import IMAGES
from ..steps.score import score
from ..targets.target import Site
from ..tasks.pack import open_pack

Made = TypeVar("Made")
OnEvent = Callable[..., None]

#: at least so many real pictures go through both models
PARITY_IMAGES = 16


@dataclass(frozen=True)
class Settings:
    """What is the same for all cells of a run."""

    cache: Path
    memory_bytes: int
    timeout_s: float
    dataset: str | None
    accuracy_images: int | None
    #: real pictures that go through both models
    parity_images: int = PARITY_IMAGES
    #: runs of the pass that asks each runtime what ran where; 0: it is not asked
    profile_runs: int = PARITY_IMAGES


@dataclass(frozen=True)
class Pictures:
    """A model's dataset as packs: a few pictures for parity and timing, all for accuracy."""

    dataset: datasets.Dataset
    few: Path
    all: Path
    count: int


@dataclass
class Prepared:
    """What a cell has so far; filled step by step, so that a failure keeps what was there."""

    image: Image | None = None
    artifact: Artifact | None = None
    parity: Parity | None = None
    predictions: Path | None = None
    scores: Scores | None = None
    what: Loadable | None = None
    pictures: Pictures | None = None
    placement: Placement | None = None
    layers: Path | None = None
    wall_s: dict[str, float] = field(default_factory=dict)
    at: Step = "images"


class Preparation:
    """Makes cells ready on one container engine."""

    def __init__(
        self,
        engine: ContainerEngine,
        models: dict[str, Model],
        settings: Settings,
        logs: Path,
        on: OnEvent,
    ) -> None:
        self._engine, self._models, self._settings, self._logs = engine, models, settings, logs
        self._on = on
        self._memory: dict[tuple[Any, ...], Any] = {}
        self._making: dict[tuple[Any, ...], threading.RLock] = {}
        self._lock = threading.Lock()
        self.wall_s: dict[str, float] = {}

    def make(self, cell: Cell, got: Prepared) -> None:
        """On this machine: the artifact and the pictures. Raises BenchError, `got.at` the step."""
        model, spec = self._models[cell.model], REGISTRY[cell.format].SPEC
        with self._step("images", cell, got):
            converter = self.place(spec.converter)
        with self._step("convert", cell, got):
            got.artifact = self._once(
                ("artifact", cell.model, spec.converter, cell.precision),
                lambda: convert(
                    self._settings.cache, converter, model, spec, cell.precision, self._limits()
                ),
            )
        with self._step("parity", cell, got):
            got.pictures = self._pictures(model)

    def check(self, cell: Cell, got: Prepared, site: Site) -> None:
        """Where it will be measured: runtime there, parity, accuracy. Raises BenchError."""
        model, spec = self._models[cell.model], REGISTRY[cell.format].SPEC
        artifact, pictures = got.artifact, got.pictures
        assert artifact
        assert pictures
        with self._step("deploy" if site.spec.transport != "local" else "images", cell, got):
            place = site.place(spec.image)
            got.image = place.image
        got.what = Loadable(
            model, cell.format, cell.precision, Path(artifact.path), artifact.sha256, place
        )
        limits = self._limits(site)
        with self._step("parity", cell, got):
            got.parity = self._once(("parity", got.what.key), lambda: self._parity(got, limits))
            if not got.parity.ok:
                raise StepFailed(
                    "the converted model computes something else: " + "; ".join(got.parity.reasons),
                    "It is not timed. Compare the outputs in the cell's parity table.",
                )
            if self._settings.profile_runs:
                got.layers = self._layers(got.what, pictures, limits)
                got.placement = placement_of(got.layers)
        if self._settings.dataset is not None:
            with self._step("score", cell, got):
                got.predictions, got.scores = self._scores(got.what, pictures, limits)
                self._check_accuracy(cell, got)

    def reference(self, model: Model) -> Loadable:
        """The fp32 PyTorch reference, straight from the model's own weights."""
        check_weights(model)
        place = self.place(REGISTRY[REFERENCE].SPEC.image)
        weights = model.folder / model.spec.weights
        return Loadable(model, REFERENCE, "fp32", weights, model.spec.weights_sha256, place)

    def reference_predictions(self, model: Model) -> Path | None:
        """The reference's predictions if this run scored any."""
        if self._settings.dataset is None:
            return None
        return self._scores(self.reference(model), self._pictures(model), self._limits())[0]

    def place(self, name: str) -> Place:
        """An image of this machine's own engine, built once a run."""
        log = self._logs / f"image-{name}.log"

        def build() -> Place:
            self._on("image", name=name)
            return Place(
                self._engine, self._engine.build(name, log, lambda line: self._on("log", line=line))
            )

        return self._once(("place", name), build)

    def _pictures(self, model: Model) -> Pictures:
        def read() -> Pictures:
            name = self._settings.dataset or next(iter(model.datasets), None)
            if name is None:
                raise StepFailed(
                    f"{model.spec.name} has no dataset, and parity is checked on real pictures",
                    "Name one under `datasets:` in its model.yaml; 16 pictures are enough.",
                )
            dataset = datasets.read(model.datasets[name])
            packs = self._settings.cache / "packs"
            few = datasets.evenly(len(dataset.images), max(PARITY_IMAGES, IMAGES))
            chosen = datasets.evenly(len(dataset.images), self._settings.accuracy_images)
            return Pictures(
                dataset,
                datasets.pack(dataset, packs, few),
                datasets.pack(dataset, packs, chosen),
                len(chosen),
            )

        return self._once(("pictures", model.spec.name), read)

    def _parity(self, got: Prepared, limits: Limits) -> Parity:
        assert got.what
        assert got.pictures
        what, few = got.what, got.pictures.few
        images = min(self._settings.parity_images, len(open_pack(few)))
        task = tasks.REGISTRY[what.model.spec.task]
        pictures = open_pack(few)[:images]
        geometries = [task.preprocess(image, what.model.spec)[1] for _, image in pictures]
        cache = self._settings.cache
        wanted, seen = (
            parity.split(_arrays(infer(cache, "outputs", one, few, images, its)[0]))
            for one, its in ((self.reference(what.model), self._limits()), (what, limits))
        )
        return parity.compare(what.model.spec, what.precision, wanted, seen, geometries)

    def _layers(self, what: Loadable, pictures: Pictures, limits: Limits) -> Path:
        cache, count = self._settings.cache, self._settings.profile_runs
        alone = replace(limits, cpus=limits.cpus[-1:])

        def make() -> Path:
            return infer(cache, "profile", what, pictures.few, count, alone)[0]

        return self._once(("profile", what.key), make)

    def _scores(self, what: Loadable, pictures: Pictures, limits: Limits) -> tuple[Path, Scores]:
        def make() -> tuple[Path, Scores]:
            path, _ = infer(
                self._settings.cache, "predict", what, pictures.all, pictures.count, limits
            )
            return path, score(what.model.spec, path, pictures.dataset)

        return self._once(("scores", what.key), make)

    def _check_accuracy(self, cell: Cell, got: Prepared) -> None:
        assert got.what
        assert got.pictures
        assert got.scores
        what = self.reference(got.what.model)
        _, reference = self._scores(what, got.pictures, self._limits())
        assert got.parity
        ratio, reasons = parity.check_metrics(cell.precision, got.scores.values, reference.values)
        got.parity = replace(got.parity, metric_ratio=ratio)
        if reasons:
            raise StepFailed(
                f"accuracy: {'; '.join(reasons)}",
                "It is not timed. Try a higher precision or calibrated int8.",
            )

    def _once(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """`make`'s result, or its BenchError again, remembered for the run.

        One at a time for a key; a lost device is not remembered: another try may help.
        """
        with self._lock:
            lock = self._making.setdefault(key, threading.RLock())
        with lock:
            if key not in self._memory:
                try:
                    self._memory[key] = make()
                except DeviceLost:
                    raise
                except BenchError as error:
                    self._memory[key] = error
            known = self._memory[key]
        if isinstance(known, BenchError):
            raise known
        result: Made = known
        return result

    @contextmanager
    def _step(self, step: Step, cell: Cell, got: Prepared) -> Iterator[None]:
        got.at = step
        self._on("step", cell=cell.id, step=step)
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            got.wall_s[step] = got.wall_s.get(step, 0.0) + spent
            with self._lock:
                self.wall_s[step] = self.wall_s.get(step, 0.0) + spent

    def _limits(self, site: Site | None = None) -> Limits:
        cpus = site.all_cpus() if site else machine_cpus()
        own = site.spec.memory_mb if site else None
        memory_bytes = own * 10**6 if own else self._settings.memory_bytes
        return Limits(cpus, memory_bytes, self._settings.timeout_s)


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: np.asarray(file[name]) for name in file.files}
