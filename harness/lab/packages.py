"""Debian packages of any architecture, fetched and unpacked without running any of their code.

apt gets a state of its own, so that this machine's packages and architectures stay as they are.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from ..errors import StepFailed

#: lists of packages that are older are fetched again, seconds
_LISTS_OLD_S = 24 * 3600


@dataclass(frozen=True)
class PackageList:
    """Packages by name, to be fetched with dependencies, and globs of packages to omit."""

    names: tuple[str, ...]
    without: tuple[str, ...]


def read_list(path: Path) -> PackageList:
    """One name per line; `-GLOB` omits packages, `#` starts a comment."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    words = [line for line in lines if line]
    return PackageList(
        tuple(word for word in words if not word.startswith("-")),
        tuple(word[1:] for word in words if word.startswith("-")),
    )


def fetch(wanted: PackageList, arch: str, apt: Path, into: Path) -> list[Path]:
    """The .deb files of the packages and their dependencies; `apt` caches apt's lists.

    Raises StepFailed if apt finds no mirror with that architecture.
    """
    options = _options(arch, apt, into)
    stamp = apt / "fetched"
    if not stamp.is_file() or time.time() - stamp.stat().st_mtime > _LISTS_OLD_S:
        _run(["apt-get", *options, "-qq", "update"])
        stamp.touch()
    _run(["apt-get", *options, "-qq", "--yes", "--download-only", "install", *wanted.names])
    found = sorted(into.glob("*.deb"))
    return [deb for deb in found if not _matches(deb.name.partition("_")[0], wanted.without)]


def unpack(debs: Sequence[Path], root: Path) -> None:
    """Unpack files only, no scripts; existing links in `root` (usr-merge) are followed."""
    for deb in debs:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE
        ) as archive:
            _run(["tar", "-x", "--keep-directory-symlink", "-C", str(root)], archive.stdout)
        if archive.returncode:
            raise StepFailed(f"cannot unpack {deb.name}", "Delete the file and try again.")


def _options(arch: str, apt: Path, into: Path) -> list[str]:
    for folder in (apt / "lists" / "partial", apt / "state", into / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    status = apt / "state" / "status"
    status.touch()
    chosen = {
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
        "Dir::State": apt / "state",
        "Dir::State::status": status,
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "Dir::Cache::archives": into,
    }
    return [word for key, value in chosen.items() for word in ("-o", f"{key}={value}")]


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch(name, glob) for glob in globs)


def _run(argv: Sequence[str], stdin: IO[bytes] | None = None) -> None:
    done = subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise StepFailed(
            f"{argv[0]} failed with exit code {done.returncode}:\n{said}",
            "Check that apt can reach a Debian mirror.",
        )
