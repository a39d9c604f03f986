"""The part of an image that a runner needs: `bundle.in`, with the lock's pins and hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..containers import recipe
from ..errors import StepFailed

FILE: Final = "bundle.in"
ARCHITECTURES: Final = ("aarch64", "x86_64")
PYTHON: Final = "3.11"


@dataclass(frozen=True)
class Contents:
    """One `bundle.in`, read; the packages' versions and hashes are in `lock`."""

    name: str
    packages: tuple[str, ...]
    #: module that must import where the bundle is whole
    module: str
    #: Pythons, `3.11`, that the lock has wheels for
    pythons: tuple[str, ...]
    #: globs of what a runner never loads, relative to site-packages
    drop: tuple[str, ...]
    #: `aarch64`, `macos` or `macos-x86_64` -> why the lock has nothing for it
    refused: Mapping[str, str]
    #: the lock's lines of `packages`
    lock: str
    #: oldest macOS that all of its wheels are for
    macos: int = 11

    def why_not(self, *platforms: str) -> str | None:
        """Why the lock does not support a platform, given by its names."""
        return next((self.refused[name] for name in platforms if name in self.refused), None)


def read(name: str, root: Path | None = None) -> Contents:
    """The runner's part of the image `name`.

    Raises UsageError for a name that is none, StepFailed where the folder says nothing of a
    runner, or names a package that is not in its lock.
    """
    folder = recipe.find(name, root)
    path = folder.folder / FILE
    if not path.is_file():
        raise StepFailed(
            f"no bundle of {name}: {path} does not exist",
            "Add a bundle.in file as described in docs/bundles.md.",
        )
    lines = [line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    keyed = [line.partition(":") for line in lines if ":" in line]
    values = {key.strip(): value.strip() for key, _, value in keyed}
    packages = tuple(line for line in lines if line and ":" not in line)
    return Contents(
        name=name,
        packages=packages,
        module=values.get("module", "numpy"),
        pythons=tuple(values.get("python", PYTHON).split()),
        drop=tuple(word for key, _, text in keyed if key == "drop" for word in text.split()),
        refused={k.removeprefix("not "): v for k, v in values.items() if k.startswith("not ")},
        macos=int(values.get("macos", Contents.macos)),
        lock=subset(folder.lock.read_text("utf-8"), packages, folder.lock),
    )


def subset(lock: str, packages: tuple[str, ...], where: Path) -> str:
    """The pins and hashes of `packages`; raises StepFailed for one that the lock does not pin."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=[\w-])", lock):
        if pin := re.match(r"([\w.-]+)==[^\s\\]+", block):
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}", block)
            found[pin[1]] = " \\\n    ".join((pin[0], *hashes)) + "\n"
    missing = [name for name in packages if name not in found]
    if missing:
        raise StepFailed(
            f"{where} does not pin {', '.join(missing)}",
            f"Correct {FILE}, or add the packages to the lock.",
        )
    return "".join(found[name] for name in packages)
