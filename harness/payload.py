"""The part of this package that is copied to where a model runs.

It does not use the orchestrator's environment, and its hash is part of every key.
"""

from __future__ import annotations

import ast
import functools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .cache import digest, file_sha256, get_or_create, known_sha256
from .errors import BenchError
from .serial import PARSING
from .workspace import PACKAGE, cache_root

#: only bench reads it
MODEL_FILE = b"model.yaml"
NOT_SOURCE = ("__pycache__", ".git")
PARTS = ("__init__.py", "records.py", "serial.py", "formats", "tasks", "runner")


@dataclass(frozen=True)
class Payload:
    """`folder/harness` is importable with Python 3.8 and numpy; `sha256` names its content."""

    folder: Path
    sha256: str


@functools.cache
def payload() -> Payload:
    """The payload of the running code, created on first use."""
    files = sorted(_files())
    key = digest(*((str(path.relative_to(PACKAGE)), file_sha256(path)) for path in files))

    def copy(part: Path) -> None:
        for path in files:
            target = part / "harness" / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    return Payload(get_or_create(cache_root(), "payload", key, copy)[0], key)


def format_sha256(name: str) -> str:
    """Hash of every file of bench that a conversion to format `name` may run."""
    files = imported(PACKAGE / "formats" / f"{name.replace('-', '_')}.py")
    return digest(*((str(path.relative_to(PACKAGE)), file_sha256(path)) for path in files))


def source_sha256(source: Path) -> str:
    """Hash of everything in a model's folder that its code can read: names, bytes, link targets.

    Excludes `model.yaml`, whose parts are in the keys that depend on them, and what Python and git
    write. Raises BenchError for unreadable files.
    """
    try:
        return digest(*_entries(source, b""))
    except RecursionError:
        raise BenchError(
            f"{source}: folders are nested too deeply", "Remove the deepest folders."
        ) from None
    except OSError as error:
        raise BenchError(
            f"{error.filename}: {error.strerror}", "Give this user permission to read it."
        ) from error


def _entries(folder: Path, below: bytes) -> Iterator[tuple[str, str]]:
    """Names are bytes: a folder from elsewhere may have any."""
    for path in sorted(folder.iterdir()):
        name = below + os.fsencode(path.name)
        if path.name in NOT_SOURCE or name == MODEL_FILE:
            continue
        if path.is_symlink():
            yield name.hex(), f"link to {os.fsencode(path.readlink()).hex()}"
        elif path.is_dir():
            yield from _entries(path, name + b"/")
        elif path.is_file():
            yield name.hex(), known_sha256(path)


def imported(path: Path, package: Path = PACKAGE) -> tuple[Path, ...]:
    """`path` and the files of the package that it imports, and they, also inside functions; sorted.

    `__init__` files count for themselves only: a registry imports every format.
    """
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imports(file, package)
    return tuple(sorted(found))


def _imports(file: Path, package: Path) -> list[Path]:
    found = []
    with PARSING:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1]
            module = base.joinpath(*(node.module or "").split("."))
            names = [module / alias.name for alias in node.names]
            found += [path.with_suffix(".py") for path in (module, *names)]
    return [path for path in found if path.is_file() and path.is_relative_to(package)]


def _files() -> list[Path]:
    found = [PACKAGE / part for part in PARTS]
    return [
        path
        for top in found
        for path in ([top] if top.is_file() else top.rglob("*.py"))
        if "__pycache__" not in path.parts
    ]
