"""Bundles: a format's runner as one .tar.gz, for devices without Docker or Python.

Built from the image's lock and Debian packages, without emulation, cached by its
inputs. docs/bundles.md describes the tree and how a device runs it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..cache import digest, get_or_create, tree_sha256
from ..containers import recipe
from ..containers.output import JobOutput, to_file
from ..errors import StepFailed, UsageError
from ..serial import dumps, loads
from . import contents as listing
from . import debian, pack, tree, wheels

OnLine = Callable[[str], None]
ARCHITECTURES: Final = listing.ARCHITECTURES
#: minor version of Debian bookworm's glibc
GLIBC: Final = 36
MANIFEST: Final = "bundle.json"


@dataclass(frozen=True)
class BundleManifest:
    """`bundle.json`, in the bundle: its inputs."""

    name: str
    arch: str
    python: str
    module: str
    #: `name version` of Debian's packages
    debian: tuple[str, ...]
    wheels: tuple[str, ...]
    #: asked for by some library, and in no package: parts that cannot be loaded
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """`made.json`, next to a bundle: what would otherwise have to be read from it."""

    sha256: str
    unpacked_bytes: int


@dataclass(frozen=True)
class Bundle:
    """A bundle on this machine."""

    name: str
    arch: str
    path: Path
    #: of the file
    sha256: str
    unpacked_bytes: int
    module: str
    cached: bool
    seconds: float

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


def why_not(name: str, arch: str) -> str | None:
    """Why there is no bundle of the image `name` for an architecture; None if there is one."""
    if arch not in ARCHITECTURES:
        return f"no bundle for {arch}, only for {' and '.join(ARCHITECTURES)}"
    try:
        refused = listing.read(name).why_not(arch)
    except (StepFailed, UsageError) as error:
        return error.message
    return f"no bundle for {arch}: {refused}" if refused else None


def make(
    name: str,
    arch: str,
    cache: Path,
    log: Path,
    on_line: OnLine | None = None,
    *,
    again: bool = False,
) -> Bundle:
    """The bundle, from before if nothing that it is made from has changed.

    `again` takes Debian's packages of today. Raises UsageError for a name that is none,
    StepFailed with the last lines of the log.
    """
    began = time.monotonic()
    contents = listing.read(name)
    if reason := why_not(name, arch):
        raise StepFailed(reason)
    key = _key(contents, arch)
    if again:
        shutil.rmtree(cache / "bundles" / key, ignore_errors=True)

    def fill(part: Path) -> None:
        with to_file(log, on_line) as output:
            _fill(part, contents, arch, output)

    folder, cached = get_or_create(cache, "bundles", key, fill)
    known = loads(Made, (folder / "made.json").read_bytes(), "made.json")
    return Bundle(
        name,
        arch,
        folder / _file_name(name, arch),
        known.sha256,
        known.unpacked_bytes,
        contents.module,
        cached,
        time.monotonic() - began,
    )


def _fill(part: Path, contents: listing.Contents, arch: str, output: JobOutput) -> None:
    work = part / "work"
    bundle = work / "bundle"
    for name in ("debian", "site", "bundle"):
        (work / name).mkdir(parents=True)
    platform = wheels.linux(arch, GLIBC)
    found = wheels.fetch(contents, platform, listing.PYTHON, work / "site", output)
    root, packages = debian.fetch(arch, work / "debian", output)
    wheels.unpack(found, bundle / "site")
    missing = tree.assemble(root, bundle, arch, contents.drop)
    names = tuple(wheel.name for wheel in found)
    manifest = BundleManifest(
        contents.name, arch, listing.PYTHON, contents.module, packages, names, missing
    )
    (bundle / MANIFEST).write_text(dumps(manifest, indent=1), "utf-8")
    if missing:
        output.feed(f"ignored libraries that are in no package: {' '.join(missing)}\n".encode())
    _finish(part, contents, arch, bundle)


def _finish(part: Path, contents: listing.Contents, arch: str, bundle: Path) -> None:
    done = Made(*pack.pack(bundle, part / _file_name(contents.name, arch)))
    (part / "made.json").write_text(dumps(done), "utf-8")
    shutil.rmtree(part / "work")


def _file_name(name: str, arch: str) -> str:
    return f"{name}-{arch}.tar.gz"


def _key(contents: listing.Contents, arch: str) -> str:
    """Hash of all inputs except Debian's versions, which change with each security update."""
    ours = (Path(listing.__file__).parent, recipe.dockerfiles() / "base" / "bundle-packages.txt")
    return digest(contents.lock, contents.drop, contents.module, arch, *map(_sha256, ours))


def _sha256(path: Path) -> str:
    if path.is_file():
        return tree_sha256(path)
    return digest(*((p.name, tree_sha256(p)) for p in sorted(path.glob("*.py"))))
