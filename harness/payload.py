"""The part of this package that travels to where a model runs, as a folder of its own.

Nothing of the orchestrator's environment is on its path there, and its hash is in every key.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

from .cache import digest, file_sha256, made
from .workspace import PACKAGE, cache_root

PARTS = ("__init__.py", "records.py", "serial.py", "formats", "tasks", "runner")


@dataclass(frozen=True)
class Payload:
    """`folder/harness` is importable with Python 3.8 and numpy; `sha256` names its content."""

    folder: Path
    sha256: str


@functools.cache
def payload() -> Payload:
    """The payload of this very code, made on first use."""
    files = sorted(_files())
    key = digest(*((str(path.relative_to(PACKAGE)), file_sha256(path)) for path in files))

    def copy(part: Path) -> None:
        for path in files:
            target = part / "harness" / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    return Payload(made(cache_root(), "payload", key, copy)[0], key)


def format_sha256(name: str) -> str:
    """Hash of the files that a conversion to format `name` depends on."""
    files = (
        PACKAGE / "formats" / f"{name.replace('-', '_')}.py",
        PACKAGE / "formats" / "source.py",
    )
    return digest(*(file_sha256(path) for path in files))


def _files() -> list[Path]:
    found = [PACKAGE / part for part in PARTS]
    return [
        path
        for top in found
        for path in ([top] if top.is_file() else top.rglob("*.py"))
        if "__pycache__" not in path.parts
    ]
