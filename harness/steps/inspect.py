"""What a model's file declares of its tensors, read by its own runtime in its own image."""

from __future__ import annotations

from pathlib import Path

from ..cache import digest, get_or_create, tree_sha256
from ..payload import payload
from ..records import ModelSpec, TensorSpec
from ..runner.job import VERSION, Inspection, Job
from ..untrusted.text import read_record
from .jobs import ANSWER, JobLimits, Place, run_job


def inspect(cache: Path, place: Place, kind: str, path: Path, limits: JobLimits) -> Inspection:
    """Cached by the file's content. Raises StepFailed with the runtime's own words."""
    sha256 = tree_sha256(path)
    key = digest("inspect", payload().sha256, place.image.digest, kind, sha256)

    def make(part: Path) -> None:
        job = Job(
            version=VERSION,
            mode="inspect",
            format=kind,
            precision="fp32",
            threads=len(limits.cpus),
            model=_unknown(kind, path, sha256),
            source=str(path.parent),
            artifact=str(path),
        )
        run_job(place, part, job, limits, Inspection)

    folder, _ = get_or_create(cache, "inspect", key, make)
    return read_record(Inspection, folder / ANSWER.name)


def _unknown(kind: str, path: Path, sha256: str) -> ModelSpec:
    """A job names a model; of this one nothing is known but its file."""
    return ModelSpec(
        path.stem, "", "", "", path.name, sha256, (TensorSpec("", ()),), (), (), source=kind
    )
