"""Runs a model over images on its device, untimed: outputs, predictions, placement.

Results are cached by all their inputs: artifact, image, runner code, images.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from numpy.typing import NDArray

from ..cache import digest, get_or_create, unusable
from ..errors import JobTimeout, StepFailed
from ..formats import REGISTRY
from ..payload import payload, source_sha256
from ..records import Layer, ModelSpec, Placement, Precision
from ..runner.job import VERSION, Answer, Job, Pass, ProfileAnswer
from ..untrusted import results
from ..untrusted.arrays import LARGEST_BYTES
from ..untrusted.budget import Budget, Leaf
from ..untrusted.files import copy_file
from ..untrusted.results import read_predictions
from ..untrusted.text import RECORD_BYTES, read_record, read_records
from .jobs import ANSWER, JobLimits, Output, Place, run_job


@dataclass(frozen=True)
class LoadedArtifact:
    """A model file with everything needed to load it."""

    model: ModelSpec
    #: the model's folder
    source: Path
    format: str
    precision: Precision
    path: Path
    sha256: str
    place: Place

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for equal things, within a run."""
        place = self.place
        image = place.image.digest
        return self.model.name, self.format, self.sha256, self.code_sha256, image, place.where

    @property
    def code_sha256(self) -> str:
        """Hash of what loading reads of the model's folder beside the file.

        That is the model's own code where the format runs it, and the external data of a file that
        lies in the folder (ONNX keeps weights next to it). Empty for a converted file.
        """
        is_own_file = self.path.is_relative_to(self.source)
        reads = is_own_file or REGISTRY[self.format].SPEC.needs_source
        return source_sha256(self.source) if reads else ""


Mode = Literal["outputs", "predict", "profile"]
FILES: Final[dict[Mode, Leaf]] = {
    "outputs": Leaf("outputs.npz", Budget(LARGEST_BYTES)),
    "predict": Leaf("predictions.npz", Budget(LARGEST_BYTES)),
    "profile": Leaf("layers.json", Budget(RECORD_BYTES)),
}
ANSWERS: dict[Mode, type[Answer] | type[ProfileAnswer]] = {
    "outputs": Answer,
    "predict": Answer,
    "profile": ProfileAnswer,
}


#: checks the file of a mode, for so many images
CHECKS: Final[dict[Mode, Callable[[ModelSpec, int], Callable[[Path], object]]]] = {
    "outputs": lambda model, images: partial(read_outputs, model, images),
    "predict": lambda model, images: partial(read_predictions, images=images),
    "profile": lambda model, images: partial(read_records, Layer),
}


def infer(
    cache: Path,
    mode: Mode,
    loaded: LoadedArtifact,
    pack: Path,
    images: int,
    limits: JobLimits,
) -> tuple[Path, bool]:
    """The job's file over the first `images` images of the pack, and whether it was cached."""
    key = pass_key(mode, loaded, pack.name, images)

    def make(part: Path) -> None:
        job = dataclasses.replace(_job(mode, loaded, limits), pack=str(pack), images=images)
        output = Output(FILES[mode], CHECKS[mode](loaded.model, images))
        run_job(loaded.place, part, job, limits, ANSWERS[mode], [output])

    folder, cached = get_or_create(cache, mode, key, make)
    return folder / FILES[mode].name, cached


def infer_together(
    cache: Path, passes: Sequence[Pass], loaded: LoadedArtifact, limits: JobLimits
) -> None:
    """Run the passes that are not cached in one process, on all CPUs of `limits`.

    If one fails, none is cached: `infer` then reports which one, and why. Raises JobTimeout,
    DeviceLost.
    """
    keys = {p.mode: pass_key(p.mode, loaded, Path(p.pack).name, p.images) for p in passes}
    missing = tuple(p for p in passes if not (cache / p.mode / keys[p.mode]).is_dir())
    if len(missing) < 2:
        return
    with _working_folder(cache / "passes") as folder:
        job = dataclasses.replace(_job("passes", loaded, limits), passes=missing)
        outputs = [output for one in missing for output in _outputs(one, loaded.model)]
        try:
            run_job(loaded.place, folder, job, limits, Answer, outputs)
        except JobTimeout:
            raise
        except StepFailed:
            return
        for one in missing:
            get_or_create(cache, one.mode, keys[one.mode], partial(_keep, one.mode, folder))


@contextmanager
def _working_folder(parent: Path) -> Iterator[Path]:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".", dir=parent)
    except OSError as error:
        raise unusable(parent, error) from error
    with folder as name:
        yield Path(name)


def _outputs(one: Pass, model: ModelSpec) -> tuple[Output, Output]:
    """The pass's file and its answer in a job of several passes."""
    answer = Leaf(f"{one.mode}.json", ANSWER.budget)
    return (
        Output(FILES[one.mode], CHECKS[one.mode](model, one.images)),
        Output(answer, partial(read_record, ANSWERS[one.mode])),
    )


def _keep(mode: Mode, made: Path, part: Path) -> None:
    """Cache the files of one pass, under the names that they have when it runs alone."""
    for name in (FILES[mode].name, "job.json", "log.txt"):
        copy_file(made / name, part / name)
    copy_file(made / f"{mode}.json", part / ANSWER.name)


def _job(mode: Literal[Mode, "passes"], loaded: LoadedArtifact, limits: JobLimits) -> Job:
    return Job(
        version=VERSION,
        mode=mode,
        format=loaded.format,
        precision=loaded.precision,
        threads=len(limits.cpus),
        model=loaded.model,
        source=str(loaded.source),
        artifact=str(loaded.path),
    )


def pass_key(mode: Mode, loaded: LoadedArtifact, pack: str, images: int) -> str:
    """The cache key of a pass: the hash of all its inputs."""
    return digest(
        mode,
        payload().sha256,
        loaded.sha256,
        loaded.code_sha256,
        loaded.place.image.digest,
        loaded.place.where,
        loaded.model,
        pack,
        images,
    )


def placement_of(layers: Path) -> Placement:
    """The placement from a pass in mode `profile`; `layers` is the file that it wrote."""
    return read_record(ProfileAnswer, layers.with_name(ANSWER.name)).placement


def read_outputs(model: ModelSpec, images: int, path: Path) -> list[dict[str, NDArray[Any]]]:
    """The file of a pass in mode `outputs`, for each of so many samples. Raises StepFailed."""
    return results.read_outputs(path, model.outputs, images)
