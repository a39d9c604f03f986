"""Images of Docker's: the base, the build context, the build. Only `docker` calls this.

The build context has the wheels and the CA of this machine; the Dockerfiles use them in a stage
that the final image copies from, so that neither is in it.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from docker.api.client import APIClient
from docker.errors import APIError, ImageNotFound

from ..errors import StepFailed
from .base import root_tar
from .output import JobOutput
from .recipe import HostInputs, Recipe, dockerfiles

LOCAL_BASE: Final = "bench/base:bookworm"
STAGE_LABEL: Final = "bench.stage=build"
BUILD_SECONDS: Final = 3600


class SharedLayers:
    """Of images that begin with the same layers, the first is built alone: the others find them.

    Images are built side by side, and what several of them need would else be made several times.
    """

    def __init__(self) -> None:
        self._lock, self._first = threading.Lock(), dict[tuple[str, ...], threading.Lock]()
        self._there: set[tuple[str, ...]] = set()

    @contextmanager
    def part_of(self, recipe: Recipe) -> Iterator[None]:
        """The body builds the image: alone, while nobody has built these layers yet."""
        layers = tuple(
            name for name, path in recipe.files().items() if path.parent != recipe.folder
        )
        with self._lock:
            first = self._first.setdefault(layers, threading.Lock())
        with first:
            if layers not in self._there:
                yield
                self._there.add(layers)
                return
        yield


def base_reference() -> str:
    """`$BENCH_BASE_IMAGE`, or the one that is made here."""
    return os.environ.get("BENCH_BASE_IMAGE") or LOCAL_BASE


def image_id(api: APIClient, reference: str) -> str | None:
    """`sha256:…` of a local image."""
    try:
        found = api.inspect_image(reference)
        return str(found["Id"])
    except ImageNotFound:
        return None


def reference(api: APIClient, recipe: Recipe) -> str:
    """`bench/<name>:<hash of every input>`, the base image's id among them."""
    return f"bench/{recipe.name}:{recipe.key(image_id(api, base_reference()) or 'no base')}"


def need_base(api: APIClient, output: JobOutput) -> None:
    """Pull the base image that is asked for, or make our own, where it is missing."""
    wanted = base_reference()
    if image_id(api, wanted):
        return
    if wanted == LOCAL_BASE:
        make_base(api, output)
        return
    output.feed(f"pulling {wanted}\n".encode())
    try:
        entries = list(api.pull(wanted, stream=True, decode=True))
        why = next((entry["error"] for entry in entries if "error" in entry), None)
    except APIError as error:
        why = error.explanation
    if why:
        hint = "check BENCH_BASE_IMAGE; without it a base image is made here"
        raise StepFailed(f"cannot pull the base image {wanted}: {why}", hint)


def make_base(api: APIClient, output: JobOutput) -> str:
    """debootstrap, then import; the image's id."""
    repository, tag = LOCAL_BASE.split(":")
    with root_tar(dockerfiles() / "base" / "packages.txt", output) as tar:
        answer = api.import_image_from_file(str(tar), repository, tag)
    made = image_id(api, LOCAL_BASE)
    if made is None:
        raise StepFailed(f"cannot import the base image: {answer}")
    return made


def build(api: APIClient, recipe: Recipe, tag: str, log: Path, output: JobOutput) -> str:
    """Build and tag; the image's id. Raises StepFailed with the last lines."""
    inputs = HostInputs.read(recipe.folder.parent)
    with _context(recipe, inputs) as context:
        stream = api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            buildargs={**inputs.args, "BASE": base_reference()},
            rm=True,
            forcerm=True,
            timeout=BUILD_SECONDS,
            decode=True,
        )
        failed = [entry for entry in stream if _failed(entry, output)]
    if failed:
        raise StepFailed(
            f"building the image {recipe.name} failed:\n{output.last_lines()}",
            f"all of the build's output is in {log}",
        )
    return str(image_id(api, tag))


def _failed(entry: dict[str, str], output: JobOutput) -> bool:
    text = entry.get("stream") or entry.get("error", "") + "\n" * ("error" in entry)
    output.feed(text.encode())
    return "error" in entry


@contextmanager
def _context(recipe: Recipe, inputs: HostInputs) -> Iterator[IO[bytes]]:
    """A tar of everything that a build may copy."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, path in recipe.files().items():
                archive.add(path, name)
            for folder in ("inputs", "inputs/wheels"):
                archive.addfile(_folder(folder))
            for wheel in inputs.wheels:
                archive.add(wheel, f"inputs/wheels/{wheel.name}")
            if inputs.ca:
                archive.add(inputs.ca.resolve(), "inputs/ca.pem")
        file.seek(0, io.SEEK_SET)
        yield file


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info
