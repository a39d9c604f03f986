"""Which parts of a run are cached: images, converted models, predictions. Creates nothing.

Of a remote device, only the converted models are known: the rest depends on its facts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..cache import tree_bytes, tree_sha256
from ..containers import ContainerEngine, venv_build
from ..errors import BenchError
from ..formats import REGISTRY
from ..formats.routes import route_of
from ..records import Cell, DeviceSpec, Image
from ..run.prepare import PARITY_IMAGES, image_names
from ..scenario.model import Model
from ..scenario.scenario import ScoredOn
from ..steps import datasets, tensor_data
from ..steps.convert import artifact_key, converted
from ..steps.infer import LoadedArtifact, pass_key
from ..steps.jobs import Place
from ..steps.measure import IMAGES
from ..tasks import takes_images
from .tasks import PlannedTask


@dataclass(frozen=True)
class CachedParts:
    """Per cell. None: unknown until its device is connected, or not part of the run."""

    image: bool | None
    artifact: bool | None
    predictions: bool | None


@dataclass
class Cached:
    """Looks up the cache and the engine's images, each item once."""

    engine: ContainerEngine
    cache: Path
    models: Mapping[str, Model]
    devices: Mapping[str, DeviceSpec]
    accuracy: ScoredOn | None
    #: datasets that cannot be read, each with its mistakes
    notes: list[str] = field(default_factory=list)
    _images: dict[str, Image | None] = field(default_factory=dict)
    _hashes: dict[Path, str] = field(default_factory=dict)
    _datasets: dict[str, datasets.Dataset | None] = field(default_factory=dict)

    def parts(self, cell: Cell) -> CachedParts:
        """Which parts of the cell are cached."""
        spec = REGISTRY[cell.runs_as].SPEC
        here = self._is_here(cell)
        artifact = self.artifact(cell)
        there = artifact is not None if spec.converted_on == "host" else None
        if not here:
            return CachedParts(None, there, None)
        image = self.image(spec.image)
        predictions = self._predictions(cell, artifact, image) if self.accuracy else None
        return CachedParts(image is not None, there, predictions)

    def image(self, name: str) -> Image | None:
        """The image, if built; None if a run would build it."""
        if name not in self._images:
            there = self._is_built(self.engine.reference(name))
            log = self.cache / "logs" / f"image-{name}.log"  # of a build, and none is needed
            self._images[name] = self.engine.build(name, log) if there else None
        return self._images[name]

    def artifact(self, cell: Cell, at: int = -1) -> Path | None:
        """The file of step `at` of the cell's route, in this machine's cache."""
        model = self.models[cell.model]
        route = route_of(model.spec, cell.format)
        at = at % len(route)
        step, spec = route[at], REGISTRY[route[at].format].SPEC
        image = self.image(step.conversion.image) if spec.converted_on == "host" else None
        if image is None:
            return None
        source, folder = model.spec, model.folder
        if at:
            before = self.artifact(cell, at - 1)
            if before is None:
                return None
            source, folder = converted(source, before, self._sha256(before), route[at - 1].format)
        precision = cell.precision if at == len(route) - 1 else "fp32"
        key = artifact_key(Place(self.engine, image), source, folder, spec, precision)
        path = self.cache / "artifacts" / key / f"model{spec.suffix}"
        return path if path.exists() else None

    def names(self, tasks: Sequence[PlannedTask], cells: Mapping[str, Cell]) -> set[str]:
        """Preparation tasks whose results are all cached."""
        return {task.name for task in tasks if self._is_done(task, cells)}

    def images_to_build(self, cells: Sequence[Cell]) -> list[str]:
        """Missing images, in the order in which a run builds them."""
        local = [cell for cell in cells if self._is_here(cell)]
        names = image_names(cells, local, self.models)
        return [name for name in names if self.image(name) is None]

    def artifacts_of(self, device: str, cells: Sequence[Cell]) -> list[Path | None]:
        """Converted models that a device's cells need; None for each that is missing."""
        own = {(c.model, c.format, c.precision): c for c in cells if c.device == device}
        found = [self.artifact(cell) for cell in own.values()]
        there = dict.fromkeys(path for path in found if path)
        return [*there, *(None for path in found if path is None)]

    def packs_bytes(self, models: Collection[str]) -> int | None:
        """Decoded images that checks and trials of the models read; None: not decoded yet."""
        packs = {pack for name in models for pack in self._packs_of(name)}
        folders = [self.cache / "packs" / pack for pack in packs]
        if not folders or not all(folder.is_dir() for folder in folders):
            return None
        return sum(map(tree_bytes, folders))

    @cached_property
    def _built(self) -> frozenset[str]:
        return frozenset(built.reference for built in self.engine.built())

    def _is_built(self, reference: str) -> bool:
        """Environments are checked one by one, since listing them adds up all their files."""
        if self.engine.name == "venv":
            return venv_build.is_complete(Path(reference))
        return reference in self._built

    def _is_here(self, cell: Cell) -> bool:
        return self.devices[cell.device].transport == "local"

    def _is_done(self, task: PlannedTask, cells: Mapping[str, Cell]) -> bool:
        if task.kind == "image":
            return self.image(task.of) is not None
        if task.kind == "reference":
            return self._reference_is_there(task.of)
        if task.kind == "convert":
            return self.artifact(cells[task.of], task.step) is not None
        return bool(self.parts(cells[task.of]).predictions)

    def _reference_is_there(self, name: str) -> bool:
        model, image = self.models[name], self._reference_image(name)
        pack = self._pack(name)
        if image is None or pack is None or not self.accuracy:
            return False
        weights = model.folder / model.spec.weights
        sha256 = model.spec.weights_sha256
        place = Place(self.engine, image)
        reference = LoadedArtifact(
            model.spec, model.folder, model.spec.source, "fp32", weights, sha256, place
        )
        return self._has_pass(reference, pack)

    def _reference_image(self, model: str) -> Image | None:
        return self.image(REGISTRY[self.models[model].spec.source].SPEC.image)

    def _predictions(self, cell: Cell, artifact: Path | None, image: Image | None) -> bool:
        pack = self._pack(cell.model)
        if artifact is None or image is None or pack is None:
            return False
        model, sha256 = self.models[cell.model], self._sha256(artifact)
        loaded = LoadedArtifact(
            model.spec,
            model.folder,
            cell.runs_as,
            cell.precision,
            artifact,
            sha256,
            Place(self.engine, image),
        )
        return self._has_pass(loaded, pack)

    def _sha256(self, artifact: Path) -> str:
        if artifact not in self._hashes:
            self._hashes[artifact] = tree_sha256(artifact)
        return self._hashes[artifact]

    def _has_pass(self, loaded: LoadedArtifact, pack: tuple[str, int]) -> bool:
        return (self.cache / "predict" / pass_key("predict", loaded, *pack)).is_dir()

    def _pack(self, name: str) -> tuple[str, int] | None:
        """Name and images of the pack for accuracy; None if it does not exist."""
        dataset = self._dataset(name) if self.accuracy else None
        if self.accuracy is None or dataset is None:
            return None
        chosen = datasets.evenly(len(dataset.images), self.accuracy.images)
        key = datasets.pack_key(dataset, chosen)
        return (key, len(chosen)) if (self.cache / "packs" / key).is_dir() else None

    def _packs_of(self, name: str) -> list[str]:
        model = self.models[name]
        if not takes_images(model.spec.task):
            most = max(PARITY_IMAGES, IMAGES)
            found = tensor_data.read(model.spec, model.first_dataset, model.generators, most)
            return [tensor_data.pack_key(found)]
        dataset = self._dataset(name)
        if dataset is None:
            return []
        count = len(dataset.images)
        few = datasets.evenly(count, max(PARITY_IMAGES, IMAGES))
        every = datasets.evenly(count, self.accuracy.images) if self.accuracy else few
        return [datasets.pack_key(dataset, chosen) for chosen in (few, every)]

    def _dataset(self, name: str) -> datasets.Dataset | None:
        """The model's dataset; not read if nothing is decoded, since reading hashes all files."""
        if name not in self._datasets:
            self._datasets[name] = self._read_dataset(self.models[name])
        return self._datasets[name]

    def _read_dataset(self, model: Model) -> datasets.Dataset | None:
        wanted = self.accuracy.dataset if self.accuracy else next(iter(model.datasets), None)
        if wanted is None or not (self.cache / "packs").is_dir():
            return None
        try:
            return datasets.read(model.datasets[wanted])
        except BenchError as error:
            self.notes.append(f"{model.spec.name}: {error.message.splitlines()[0]}")
            return None
