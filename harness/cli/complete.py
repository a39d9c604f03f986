"""Shell completion. Reads only file names, to be fast; never raises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import BenchError
from ..workspace import Workspace

Offer = Callable[[str], list[str]]
_FOR_SHELLS = frozenset("$`\"'\\;&|<>(){}[]*?!#")


def _offers(names: Callable[[], Iterable[str]]) -> Offer:
    """The `names` that start with the typed text; nothing if they cannot be read."""

    def offer(incomplete: str) -> list[str]:
        with suppress(BenchError, OSError):
            return [name for name in names() if name.startswith(incomplete) and _is_plain(name)]
        return []

    return offer


def _is_plain(text: str) -> bool:
    """Whether it is safe to complete: a shell inserts it as if it had been typed."""
    return text.isprintable() and not _FOR_SHELLS.intersection(text)


def scenarios(incomplete: str) -> list[str]:
    """The project's scenario files, and any YAML file or folder at the typed path."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    found: list[Path] = []
    with suppress(BenchError, OSError):
        found += [] if typed.is_absolute() else Workspace.here().scenarios()
        entries = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        found += [path for path in entries if path.suffix in (".yaml", ".yml")]
        found += [path for path in entries if path.is_dir()]
    texts = (_as_typed(path, incomplete) for path in found)
    offered = (text for text in texts if text.startswith(incomplete) and _is_plain(text))
    return list(dict.fromkeys(offered))


def _as_typed(path: Path, incomplete: str) -> str:
    text = str(path) if Path(incomplete).is_absolute() else os.path.relpath(path)
    text = f"./{text}" if incomplete.startswith("./") else text
    return f"{text}/" if path.is_dir() else text


def _runs() -> list[str]:
    found = sorted(p.parent.name for p in Workspace.here().runs.glob("*/run.json"))
    return ["latest", *reversed(found)] if found else []


def _formats() -> Iterable[str]:
    from ..formats import PLANNED, REGISTRY

    return [name for name in REGISTRY if name not in PLANNED]


def _images() -> Iterable[str]:
    from ..containers import recipe

    return recipe.available()


runs = _offers(_runs)
devices = _offers(lambda: Workspace.here().devices())
models = _offers(lambda: Workspace.here().models())
formats = _offers(_formats)
images = _offers(_images)
engines = _offers(lambda: ("auto", "docker", "venv"))
precisions = _offers(lambda: ("fp32", "fp16", "int8"))
exports = _offers(lambda: ("csv", "json", "parquet", "markdown", "junit"))
profiles = _offers(lambda: ("quick", "full"))
architectures = _offers(lambda: ("aarch64", "x86_64"))
lab_devices = _offers(lambda: ("phone", "jetson", "host"))
kept = _offers(lambda: ("runs", "images", "cache"))
