"""Run a model over pictures where it runs, untimed: outputs, predictions, what ran where.

All are cached by all that decides them: the artifact, the image, the runner's code, the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..cache import digest, made
from ..payload import payload
from ..records import Placement, Precision
from ..runner.job import VERSION, Answer, Job, ProfileAnswer
from ..scenario.config import Model
from ..serial import loads
from .jobs import Limits, Place, run_job


@dataclass(frozen=True)
class Loadable:
    """A model file with all that is needed to load it."""

    model: Model
    format: str
    precision: Precision
    path: Path
    sha256: str
    place: Place

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for equal things, within a run."""
        place = self.place
        return self.model.spec.name, self.format, self.sha256, place.image.digest, place.where


Mode = Literal["outputs", "predict", "profile"]
FILES = {"outputs": "outputs.npz", "predict": "predictions.npz", "profile": "layers.json"}
ANSWERS: dict[Mode, type[Answer] | type[ProfileAnswer]] = {
    "outputs": Answer,
    "predict": Answer,
    "profile": ProfileAnswer,
}


def infer(
    cache: Path,
    mode: Mode,
    what: Loadable,
    pack: Path,
    images: int,
    limits: Limits,
) -> tuple[Path, bool]:
    """The job's file over the first `images` pictures of the pack, and whether it was cached."""
    key = digest(
        mode,
        payload().sha256,
        what.sha256,
        what.place.image.digest,
        what.place.where,
        what.model.spec,
        pack.name,
        images,
    )

    def make(part: Path) -> None:
        job = Job(
            version=VERSION,
            mode=mode,
            format=what.format,
            precision=what.precision,
            threads=len(limits.cpus),
            model=what.model.spec,
            source=str(what.model.folder),
            artifact=str(what.path),
            pack=str(pack),
            images=images,
        )
        run_job(what.place, part, job, limits, ANSWERS[mode], keep=[FILES[mode]])

    folder, cached = made(cache, mode, key, make)
    return folder / FILES[mode], cached


def placement_of(layers: Path) -> Placement:
    """What a pass of mode `profile` says of what ran where; `layers` is the file that it left."""
    answer = layers.with_name("result.json").read_bytes()
    return loads(ProfileAnswer, answer, "result.json").placement
