"""Python, its loader and its libraries for another architecture, from Debian packages.

apt works in a folder of its own, with this machine's sources: nothing is installed, no other
architecture is added, no package is configured and none of its programs is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..containers import recipe
from ..containers.base import SUITE
from ..containers.output import JobOutput
from ..errors import StepFailed
from . import commands

DEBIAN_ARCH: Final = {"aarch64": "arm64", "x86_64": "amd64"}
APT_CONFIG: Final = """\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::SourceList "{folder}/none.list";
Dir::Etc::SourceParts "{folder}/sources";
"""
FAILED: Final = "cannot download Debian packages"
HINT: Final = "Install apt-get and dpkg-deb, and configure apt sources."
SOURCES: Final = Path("/etc/apt")


def fetch(arch: str, folder: Path, output: JobOutput) -> tuple[Path, tuple[str, ...]]:
    """The packages' files as one tree in `folder`, and `name version` of each, sorted.

    Raises StepFailed without apt, or a source of the release that the images are made of.
    """
    names = _names()
    config = _prepare(DEBIAN_ARCH[arch], folder)
    apt = ("apt-get", "-q", "-c", str(config))
    commands.run((*apt, "update"), output, folder, (FAILED, HINT))
    packages = folder / "packages"
    packages.mkdir()
    commands.run((*apt, "download", *names), output, packages, (FAILED, HINT))
    root = folder / "root"
    root.mkdir()
    files = sorted(packages.glob("*.deb"))
    for deb in files:
        commands.run(("dpkg-deb", "-x", str(deb), str(root)), output, folder, (FAILED, HINT))
    return root, tuple(_version(deb) for deb in files)


def _names() -> tuple[str, ...]:
    lines = (recipe.dockerfiles() / "base" / "bundle-packages.txt").read_text("utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _version(deb: Path) -> str:
    """From `name_version_arch.deb`, where the version's colon is written as %3a."""
    name, version, _ = deb.stem.split("_")
    return f"{name} {version.replace('%3a', ':')}"


def _prepare(arch: str, folder: Path) -> Path:
    for name in ("state/lists/partial", "cache/archives/partial", "sources"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    for path in sources(SOURCES):
        (folder / "sources" / path.name).write_bytes(path.read_bytes())
    config = folder / "apt.conf"
    config.write_text(APT_CONFIG.format(arch=arch, folder=folder), "utf-8")
    return config


def sources(etc: Path) -> tuple[Path, ...]:
    """This machine's apt sources that have Debian's release; raises StepFailed for none."""
    paths = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    known = [p for p in paths if p.suffix in (".list", ".sources") and p.is_file()]
    found = tuple(p for p in known if _has_release(p.read_text("utf-8", "replace")))
    if not found:
        raise StepFailed(
            f"{FAILED}: no apt source of Debian {SUITE}",
            f"Build bundles on Debian {SUITE}, or in a container of it.",
        )
    return found


def _has_release(text: str) -> bool:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = " ".join(lines).split()
    return SUITE in words and "main" in words
