"""Images of Docker's: the base, the build context, the build. Only `docker` calls this.

The build context has the wheels and the CA of this machine; the Dockerfiles use them in a stage
that the final image copies from, so that neither is in it.
"""

from __future__ import annotations

import hashlib
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
from docker.utils import parse_repository_tag

from ..errors import StepFailed
from . import platforms
from .base import root_tar
from .output import JobOutput
from .platforms import architecture
from .recipe import HostInputs, Recipe, dockerfiles

LOCAL_BASE: Final = "bench/base:bookworm"
STAGE_LABEL: Final = "bench.stage=build"
BUILD_SECONDS: Final = 3600


class SharedLayers:
    """Of images that begin with the same layers, the first is built alone: the others find them.

    Images are built in parallel; otherwise shared layers would be built several times.
    """

    def __init__(self) -> None:
        self._lock, self._first = threading.Lock(), dict[tuple[str, ...], threading.Lock]()
        self._there: set[tuple[str, ...]] = set()

    @contextmanager
    def part_of(self, recipe: Recipe, platform: str | None) -> Iterator[None]:
        """The body builds the image; the first one with these layers runs alone."""
        files = recipe.files().items()
        shared = (name for name, path in files if path.parent != recipe.folder)
        layers = (platform or "", *shared)
        with self._lock:
            first = self._first.setdefault(layers, threading.Lock())
        with first:
            if layers not in self._there:
                yield
                self._there.add(layers)
                return
        yield


def base_reference(platform: str | None = None) -> str:
    """`$BENCH_BASE_IMAGE`, or the one that is made here; of a platform, the tag that we give it."""
    named = os.environ.get("BENCH_BASE_IMAGE")
    if platform is None:
        return named or LOCAL_BASE
    part = hashlib.sha256(named.encode()).hexdigest()[:12] if named else LOCAL_BASE.split(":")[1]
    return f"bench/base:{part}-{architecture(platform)}"


def image_id(api: APIClient, reference: str) -> str | None:
    """`sha256:…` of a local image."""
    try:
        found = api.inspect_image(reference)
        return str(found["Id"])
    except ImageNotFound:
        return None


def reference(api: APIClient, recipe: Recipe, platform: str | None = None) -> str:
    """`bench/<name>:<hash of every input>`, the base image's id and the platform among them."""
    base = image_id(api, base_reference(platform)) or "no base"
    return f"bench/{recipe.name}:{recipe.key(base, *((platform,) if platform else ()))}"


def need_base(api: APIClient, output: JobOutput, platform: str | None = None) -> None:
    """Pull the base image that is asked for, or make our own, where it is missing."""
    if image_id(api, base_reference(platform)):
        return
    named = os.environ.get("BENCH_BASE_IMAGE")
    if not named:
        make_base(api, output, platform)
    elif platform is None:
        _pull(api, named, output)
    else:
        _pull_other(api, named, output, platform)


def _pull_other(api: APIClient, named: str, output: JobOutput, platform: str) -> None:
    """Pull and tag an image of another platform; its name keeps meaning what it meant before."""
    before = image_id(api, named)
    _pull(api, named, output, platform)
    found = api.inspect_image(named)
    fits = found["Architecture"] == architecture(platform)
    if fits:
        api.tag(found["Id"], *base_reference(platform).split(":"))
    if before and before != found["Id"]:
        if "@" in named:
            _pull(api, named, output)
        else:
            api.tag(before, *parse_repository_tag(named))
    if not fits:
        is_for = platforms.of_processor(found["Architecture"])
        hint = f"Set an image for {platform} in BENCH_BASE_IMAGE."
        raise StepFailed(f"the base image {named} is for {is_for}, not {platform}", hint)


def _pull(api: APIClient, wanted: str, output: JobOutput, platform: str | None = None) -> None:
    output.feed(f"pulling {wanted}\n".encode())
    try:
        entries = list(api.pull(wanted, stream=True, decode=True, platform=platform))
        why = next((entry["error"] for entry in entries if "error" in entry), None)
    except APIError as error:
        why = error.explanation
    if why:
        hint = "Correct or unset BENCH_BASE_IMAGE; without it the base image is built locally."
        raise StepFailed(f"cannot pull the base image {wanted}: {why}", hint)


def make_base(api: APIClient, output: JobOutput, platform: str | None = None) -> str:
    """debootstrap, then import; the image's id."""
    tag = base_reference(platform) if platform else LOCAL_BASE
    with root_tar(dockerfiles() / "base" / "packages.txt", output, platform) as tar:
        if platform:
            _import_other(api, tar, tag, platform, output)
        else:
            api.import_image_from_file(str(tar), *tag.split(":"))
    made = image_id(api, tag)
    if made is None:
        raise StepFailed(f"cannot import the base image:\n{output.last_lines()}")
    return made


def _import_other(api: APIClient, root: Path, tag: str, platform: str, output: JobOutput) -> None:
    """An import is always of the daemon's own platform; a build may be of another."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            lines = b"FROM scratch\nADD root.tar /\n"
            dockerfile = tarfile.TarInfo("Dockerfile")
            dockerfile.size = len(lines)
            archive.addfile(dockerfile, io.BytesIO(lines))
            archive.add(root, "root.tar")
        file.seek(0)
        stream = api.build(
            fileobj=file, custom_context=True, tag=tag, platform=platform, rm=True, decode=True
        )
        for entry in stream:
            _failed(entry, output)


def build(
    api: APIClient,
    recipe: Recipe,
    tag: str,
    log: Path,
    output: JobOutput,
    platform: str | None = None,
) -> str:
    """Build and tag; the image's id. Raises StepFailed with the last lines."""
    inputs = HostInputs.read(recipe.folder.parent)
    with _context(recipe, inputs) as context:
        stream = api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            buildargs={**inputs.args, "BASE": base_reference(platform)},
            platform=platform,
            rm=True,
            forcerm=True,
            timeout=BUILD_SECONDS,
            decode=True,
        )
        failed = [entry for entry in stream if _failed(entry, output)]
    if failed and platform and "exec format error" in output.last_lines():
        raise platforms.cannot_run(platform)
    if failed:
        raise StepFailed(
            f"building the image {recipe.name} failed:\n{output.last_lines()}",
            f"See the log {log}.",
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
