"""The last two steps of `bench devices check`: a runtime on the device, and one inference there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..containers import ContainerEngine
from ..errors import StepFailed
from ..formats import REGISTRY
from ..formats.routes import why_no_route
from ..records import DeviceFacts, DeviceSpec
from ..scenario.model import Model
from ..scenario.plan import Inventory
from ..steps import datasets
from ..steps.convert import convert_along
from ..steps.infer import LoadedArtifact, infer
from ..steps.jobs import JobLimits, Place, machine_cpus
from ..tasks import takes_images
from ..transports import Transport
from .remote import RemoteTarget
from .target import LocalTarget, Target

#: small, and there is a runtime of it for every kind of device
FORMAT = "tflite"
MEMORY_BYTES, TIMEOUT_S = 4 * 10**9, 900.0


class FirstRun:
    """Both steps on one device, for `check`, which holds the lease."""

    def __init__(self, engine: ContainerEngine, inventory: Inventory, cache: Path) -> None:
        self._engine, self._inventory, self._cache = engine, inventory, cache
        self._logs = cache / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._target: Target | None = None

    def runtime(self, transport: Transport, spec: DeviceSpec, facts: DeviceFacts) -> str:
        """Install the format's runner. Raises CannotRun, StepFailed, DeviceLost."""
        if spec.transport == "local":
            self._target = LocalTarget(spec, self._here)
        else:
            target = RemoteTarget(spec, self._engine, self._cache, self._logs, "devices check")
            target.adopt(transport, facts)
            self._target = target
        image = self._target.place(REGISTRY[FORMAT].SPEC.image).image
        return f"{REGISTRY[FORMAT].SPEC.title} as {image.engine} {image.reference}"

    def infer(self, transport: Transport, spec: DeviceSpec, facts: DeviceFacts) -> str:
        """Run one image of the first suitable model with a dataset. Raises BenchError."""
        assert self._target
        model, pictures = self._model()
        what = self._loadable(model, self._target)
        limits = JobLimits(self._target.all_cpus(), MEMORY_BYTES, TIMEOUT_S)
        with tempfile.TemporaryDirectory() as fresh:  # a result from before would prove nothing
            path, _ = infer(Path(fresh), "outputs", what, pictures, 1, limits)
            return f"{model.spec.name} on one image: {path.stat().st_size} bytes of outputs"

    def _here(self, image: str) -> Place:
        log = self._logs / f"image-{image}.log"
        return Place(self._engine, self._engine.build(image, log))

    def _model(self) -> tuple[Model, Path]:
        for model in self._inventory.models.values():
            no_route = why_no_route(model.spec.source, FORMAT, self._inventory.formats)
            if no_route or not takes_images(model.spec.task):
                continue
            for folder in model.datasets.values():
                dataset = datasets.read(folder)
                few = datasets.evenly(len(dataset.images), 1)
                return model, datasets.pack(dataset, self._cache / "packs", few)
        raise StepFailed(
            f"no model that can be converted to {REGISTRY[FORMAT].SPEC.title} has a dataset, "
            "so there is no image to test with"
        )

    def _loadable(self, model: Model, target: Target) -> LoadedArtifact:
        spec = REGISTRY[FORMAT].SPEC
        limits = JobLimits(machine_cpus(), MEMORY_BYTES, TIMEOUT_S)
        artifact = convert_along(
            self._cache, self._here, model.spec, model.folder, FORMAT, "fp32", limits
        )
        place = target.place(spec.image)
        return LoadedArtifact(
            model.spec, model.folder, FORMAT, "fp32", Path(artifact.path), artifact.sha256, place
        )
