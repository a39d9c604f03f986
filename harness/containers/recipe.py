"""What an image is made from: a folder under dockerfiles/, its locks, the host's pip settings.

It reads and hashes files and never builds. Where packages come from (an index, a folder of
wheels, a CA) is no part of the hash: the locks' hashes already say what they must be.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from ..errors import UsageError
from ..workspace import builtin

LOCK: Final = "requirements.lock"
#: what changes nothing in an image: what the lock was made from, and words
IGNORED: Final = (".in", ".md")
CA_VARIABLES: Final = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
#: uv's name for each of pip's settings
UV_NAMES: Final = {
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
}
PASSED_ON: Final = (
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    *(word for name in ("http_proxy", "https_proxy", "no_proxy") for word in (name, name.upper())),
)


@dataclass(frozen=True)
class Recipe:
    """One folder under dockerfiles/."""

    name: str
    folder: Path

    @property
    def lock(self) -> Path:
        """Every package of the image, pinned, with hashes."""
        return self.folder / LOCK

    def files(self) -> dict[str, Path]:
        """Name in the build context -> file: the folder's own, and the shared locks it copies."""
        own = [p for p in self.folder.iterdir() if p.is_file() and p.suffix not in IGNORED]
        dockerfile = (self.folder / "Dockerfile").read_text("utf-8")
        copied = set(dockerfile.split())
        shared = [p for p in self.folder.parent.glob("*.lock") if p.name in copied]
        return {path.name: path for path in sorted((*shared, *own), key=lambda path: path.name)}

    def key(self, *others: str) -> str:
        """Hash of every file and of `others`, 16 hex digits: the tag."""
        return _hash(*(f"{name} {_sha256(path)}" for name, path in self.files().items()), *others)[
            :16
        ]

    def lock_digest(self, *others: str) -> str:
        """`sha256:…` of the lock and of `others`."""
        return "sha256:" + _hash(_sha256(self.lock), *others)


def dockerfiles() -> Path:
    """The folder of folders that ships with bench."""
    return builtin() / "dockerfiles"


def available(root: Path | None = None) -> tuple[str, ...]:
    """Names of the images that can be built, sorted."""
    return tuple(sorted(path.parent.name for path in (root or dockerfiles()).glob(f"*/{LOCK}")))


def find(name: str, root: Path | None = None) -> Recipe:
    """The folder of an image; raises UsageError naming its neighbours."""
    names = available(root)
    if name not in names:
        near = get_close_matches(name, names, 1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"unknown image {name!r}{guess}", f"Name one of {', '.join(names)}.")
    return Recipe(name, (root or dockerfiles()) / name)


@dataclass(frozen=True)
class HostInputs:
    """How this machine gets packages, for use inside a build."""

    args: Mapping[str, str]
    wheels: tuple[Path, ...]
    ca: Path | None

    @classmethod
    def read(cls, root: Path, env: Mapping[str, str] = os.environ) -> HostInputs:
        """From pip's environment variables; only wheels that a lock under `root` names."""
        args = {name: env[name] for name in PASSED_ON if env.get(name)}
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            if urls := [word for word in env.get(name, "").split() if word.startswith("http")]:
                args[name] = " ".join(urls)
        links = env.get("PIP_FIND_LINKS", "").split()
        urls = [link for link in links if link.startswith("http")]
        args["PIP_FIND_LINKS"] = " ".join(("/inputs/wheels", *urls))
        named = next((Path(env[name]) for name in CA_VARIABLES if env.get(name)), None)
        ca = named if named and named.is_file() else None
        if ca:
            args["PIP_CERT"] = "/inputs/ca.pem"
        return cls(args | uv_settings(args), _wheels(links, _pins(root)), ca)


def uv_settings(pip: Mapping[str, str]) -> dict[str, str]:
    """uv's variables for pip's: uv reads neither pip's variables nor its files."""
    known = {UV_NAMES[name]: value for name, value in pip.items() if name in UV_NAMES and value}
    if links := known.get("UV_FIND_LINKS"):
        known["UV_FIND_LINKS"] = ",".join(links.split())
    return known


def pip_settings(env: Mapping[str, str]) -> dict[str, str]:
    """pip's settings by their variables' names: from its files, then from `env`, which wins."""
    argv = [sys.executable, "-P", "-m", "pip", "config", "list"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in ("global", "install"):
            found[f"PIP_{option.upper().replace('-', '_')}"] = value.strip("'\"")
    found |= {name: value for name, value in env.items() if name in UV_NAMES}
    return {name: " ".join(filter(_is_there, value.split())) for name, value in found.items()}


def _is_there(place: str) -> bool:
    """pip passes over folders that are not there; uv stops."""
    path = place.removeprefix("file://")
    return not path.startswith("/") or Path(path).exists()


def _pins(root: Path) -> set[tuple[str, str]]:
    """(name, version) of every package in every lock."""
    locks = (*root.glob("*.lock"), *root.glob("*/*.lock"))
    found = (re.findall(r"^([\w.-]+)==([\w.+!]+)", path.read_text("utf-8"), re.M) for path in locks)
    return {(_canonical(name), version) for pins in found for name, version in pins}


def _wheels(links: list[str], pins: set[tuple[str, str]]) -> tuple[Path, ...]:
    folders = [Path(link.removeprefix("file://")) for link in links]
    files = [path for folder in folders for path in sorted(folder.glob("*.whl"))]
    return tuple(path for path in files if _name_and_version(path) in pins)


def _name_and_version(wheel: Path) -> tuple[str, str]:
    name, version, *_ = wheel.name.split("-")
    return _canonical(name), version


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _hash(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
