"""Convert a model to one format at one precision, inside the format's image; cached by content."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..cache import digest, get_or_create, tree_bytes, tree_sha256
from ..errors import BenchError, StepFailed
from ..formats import REGISTRY
from ..formats.routes import route_of
from ..payload import format_sha256, source_sha256
from ..records import Artifact, FormatSpec, ModelSpec, Precision
from ..runner.job import VERSION, Answer, Job
from ..untrusted import files, text
from ..untrusted.budget import Budget, Leaf
from .image_paths import OwnFiles
from .jobs import ANSWER, JobLimits, Output, Place, run_job, written

#: limits of a converted model, which is a file or a folder of files
LARGEST: Final = Budget(16 << 30, files=10_000)


def check_weights(model: ModelSpec, source: Path) -> None:
    """Raises StepFailed if the weights do not match the hash in model.yaml."""
    path = source / model.weights
    try:
        found = tree_sha256(path)
    except OSError as error:
        raise StepFailed(
            f"{path}: {error.strerror}", "Put the weights at the path given in model.yaml."
        ) from None
    if found != model.weights_sha256 and not OwnFiles(source).has(path):
        raise StepFailed(
            f"{path}: outside of the model's folder, and not the file of model.yaml's hash",
            "Put the weights at the path given in model.yaml.",
        )
    if found != model.weights_sha256:
        raise StepFailed(
            f"{path}: sha256 is {found}, expected {model.weights_sha256} (model.yaml)",
            "Download the weights again, or update the hash in model.yaml if you changed them.",
        )


def convert(
    cache: Path,
    place: Place,
    model: ModelSpec,
    source: Path,
    spec: FormatSpec,
    precision: Precision,
    limits: JobLimits,
) -> Artifact:
    """The artifact, cached or converted now. `place` is where the converter runs.

    `source` is the model's folder. Raises StepFailed when the converter fails; its log stays under
    the cache's `failed/`.
    """
    check_weights(model, source)
    key = artifact_key(place, model, source, spec, precision)
    name = f"model{spec.suffix}"

    def make(part: Path) -> None:
        job = Job(
            version=VERSION,
            mode="convert",
            format=spec.converter,  # its image may lack the runtime that will load the file
            precision=precision,
            threads=len(limits.cpus),
            model=model,
            source=str(source),
            artifact=str(written(part, name)),
        )
        run_job(place, part, job, limits, Answer, [Output(Leaf(name, LARGEST), files.check)])

    folder, cached = get_or_create(cache, "artifacts", key, make)
    path = folder / name
    try:
        files.check(path)
        answer = text.read_record(Answer, folder / ANSWER.name)
    except StepFailed as error:
        raise StepFailed(error.message, f"Remove {folder}, then run again.") from None
    return Artifact(
        path=str(path),
        sha256=tree_sha256(path),
        size_bytes=tree_bytes(path),
        key=key,
        seconds=answer.seconds,
        cached=cached,
        log=str(folder / "log.txt"),
    )


def convert_along(
    cache: Path,
    place: Callable[[str], Place],
    model: ModelSpec,
    source: Path,
    format: str,
    precision: Precision,
    limits: JobLimits,
) -> Artifact:
    """The file that `format` runs, by every conversion of its route; `place` is of an image."""
    made: Artifact | None = None
    for step in (route := route_of(model, format)):
        last = step is route[-1]
        made = convert(
            cache, place(step.conversion.image), model, source, REGISTRY[step.format].SPEC,
            precision if last else "fp32", limits,
        )  # fmt: skip
        model, source = converted(model, Path(made.path), made.sha256, step.format)
    assert made
    return made


def artifact_key(
    place: Place, model: ModelSpec, source: Path, spec: FormatSpec, precision: Precision
) -> str:
    """The cache key of the artifact: the hash of all its inputs."""
    return digest(
        "artifact",
        VERSION,
        spec.converter,
        format_sha256(spec.converter),
        place.image.digest,
        place.where,
        without_task(model),
        source_sha256(source),
        precision,
    )


def without_task(spec: ModelSpec) -> object:
    """The parts of a model that affect conversion: not its name, classes or thresholds."""
    code = [spec.source, spec.module, spec.function]
    inputs = [(one.name, one.shape, one.dtype, one.layout) for one in spec.inputs]
    return [*code, spec.weights_sha256, inputs, list(spec.outputs)]


def converted(model: ModelSpec, path: Path, sha256: str, format: str) -> tuple[ModelSpec, Path]:
    """A model whose source is the converted file at `path`, and its folder."""
    spec = dataclasses.replace(
        model, source=format, module="", function="", weights=path.name, weights_sha256=sha256
    )
    return spec, path.parent


def copy_out(artifact: Artifact, out: Path) -> Path:
    """Copy the converted file or folder to `out`; raises BenchError if it is not writable."""
    source = Path(artifact.path)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, out, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copyfile(source, out, follow_symlinks=False)
    except OSError as error:
        raise BenchError(f"{out}: {error.strerror or error}") from None
    return out
