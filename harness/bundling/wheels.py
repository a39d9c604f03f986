"""Wheels for another architecture and Python, by the lock's hashes, unpacked like pip does."""

from __future__ import annotations

import importlib.util
import os
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ..containers.output import JobOutput
from ..errors import StepFailed
from . import commands
from .contents import Contents

#: newest first; Debian bookworm has glibc 2.36
GLIBC: Final = (36, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)
LEGACY: Final = ("manylinux2014", "manylinux2010", "manylinux1")
ENVIRONMENT: Final = {"PIP_PROGRESS_BAR": "off", "PIP_NO_INPUT": "1", "PIP_USER": "0"}


@dataclass(frozen=True)
class Platform:
    """A target platform: its name in messages, and pip's tags, best first."""

    name: str
    tags: tuple[str, ...]


def linux(arch: str, glibc: int) -> Platform:
    """`glibc` is the minimum minor version."""
    new = (f"manylinux_2_{minor}_{arch}" for minor in GLIBC if minor <= glibc)
    return Platform(arch, (*new, *(f"{word}_{arch}" for word in LEGACY)))


def macos(arch: str, release: tuple[int, int]) -> Platform:
    """macOS `release` and what it runs of older ones; `arch` is `arm64` or `x86_64`."""
    major, minor = release
    words = (arch, "universal2")
    tags = [f"macosx_{n}_0_{word}" for n in range(major, 10, -1) for word in words]
    if arch == "x86_64":
        newest = minor if major == 10 else 16
        tags += [f"macosx_10_{n}_{word}" for n in range(newest, 8, -1) for word in words]
    return Platform(f"macOS {major} on {arch}", tuple(tags))


def fetch(
    contents: Contents, platform: Platform, python: str, folder: Path, output: JobOutput
) -> tuple[Path, ...]:
    """One wheel per package, sorted.

    Raises StepFailed naming what the lock lacks for this platform and Python.
    """
    lock = folder / f"{contents.name}.lock"
    lock.write_text(contents.lock, "utf-8")
    wheels = folder / "wheels"
    message = (
        f"no wheels of {contents.name} for {platform.name} and Python {python} with hashes in "
        "its lock"
    )
    hint = f"Compare dockerfiles/{contents.name}/requirements.lock with the log."
    argv = (*_pip(), *_options(platform, python), "-d", str(wheels), "-r", str(lock))
    commands.run(argv, output, folder, (message, hint), ENVIRONMENT)
    return tuple(sorted(wheels.glob("*.whl")))


def unpack(wheels: tuple[Path, ...], site: Path) -> None:
    """Unpack everything importable into `site`, without scripts, headers and data.

    Raises StepFailed for a wheel with a path that leads out of `site`.
    """
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                target = None if entry.is_dir() else _target(wheel, entry.filename)
                if target:
                    _write(archive, entry, site / target)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive.read(entry))
    is_program = (entry.external_attr >> 16) & 0o100
    path.chmod(0o755 if is_program else 0o644)


def _target(wheel: Path, name: str) -> str | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise StepFailed(f"{wheel.name} contains a path outside of the wheel: {name}")
    if path.parts[0].endswith(".data"):
        inside = path.parts[1] in ("purelib", "platlib")
        return str(PurePosixPath(*path.parts[2:])) if inside else None
    return name


def _pip() -> tuple[str, ...]:
    if importlib.util.find_spec("pip") is None:
        raise StepFailed(
            "cannot download wheels: this Python has no pip",
            f"Run `{sys.executable} -m ensurepip`.",
        )
    return (sys.executable, "-P", "-m", "pip", "download")


def _options(platform: Platform, python: str) -> tuple[str, ...]:
    version = f"cp{python.replace('.', '')}"
    return (
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--quiet"),
        *("--implementation", "cp", "--python-version", python),
        *(word for abi in (version, "abi3", "none") for word in ("--abi", abi)),
        *(word for tag in platform.tags for word in ("--platform", tag)),
        *_links(),
    )


def _links() -> tuple[str, ...]:
    """Folders of wheels, which pip searches last if they are given by its own variable."""
    return tuple(
        word for link in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("-f", link)
    )
