"""The images of a run: available, built, outdated. Returns data, prints nothing.

How an image is built and run is the engine's (`harness/containers`); its inputs are in
`dockerfiles/<name>/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..containers import Built, ContainerEngine, OnLine, recipe
from ..containers.recipe import available
from ..errors import StepFailed
from ..records import Image

__all__ = ["ImageState", "available", "build_all", "heaviest_first", "make_base", "old", "states"]

#: images built side by side: they wait for downloads, mostly
AT_ONCE = 3
#: name of the image, line of its build
OnBuildLine = Callable[[str, str], None]


@dataclass(frozen=True)
class ImageState:
    """An image that can be built; `size_bytes` is None until it is."""

    name: str
    reference: str
    size_bytes: int | None


def states(engine: ContainerEngine, names: Iterable[str]) -> tuple[ImageState, ...]:
    """For each name, what a build would create and whether it exists."""
    sizes = {built.reference: built.size_bytes for built in engine.built()}
    references = {name: engine.reference(name) for name in names}
    return tuple(ImageState(name, word, sizes.get(word)) for name, word in references.items())


def build_all(
    engine: ContainerEngine,
    names: Iterable[str],
    logs: Path,
    on_line: OnBuildLine | None = None,
) -> dict[str, Image | StepFailed]:
    """Build images in parallel, each with its log `<logs>/<name>.log`; a failure stops no other.

    Raises UsageError, before anything is built, when a name has no folder.
    """
    wanted = tuple(names)
    for name in wanted:
        engine.reference(name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        built = pool.map(lambda name: _build(engine, name, logs, on_line), wanted)
        return dict(zip(wanted, built, strict=True))


def make_base(engine: ContainerEngine, log: Path, on_line: OnLine | None = None) -> str:
    """Build the local base image with debootstrap; its id.

    Raises UsageError for the venv engine, StepFailed without root or debootstrap.
    """
    return engine.make_base(log, on_line)


def old(engine: ContainerEngine, names: Iterable[str]) -> tuple[Built, ...]:
    """Every image that no build would create now."""
    current = {engine.reference(name) for name in names}
    return tuple(built for built in engine.built() if built.reference not in current)


def _build(
    engine: ContainerEngine, name: str, logs: Path, on_line: OnBuildLine | None
) -> Image | StepFailed:
    tell = (lambda line: on_line(name, line)) if on_line else None
    try:
        return engine.build(name, logs / f"{name}.log", tell)
    except StepFailed as error:
        return error


def heaviest_first(names: Iterable[str]) -> list[str]:
    """By the size of their locks: the slowest builds start first."""
    return sorted(names, key=lambda name: -_lock_bytes(recipe.dockerfiles() / name / recipe.LOCK))


def _lock_bytes(lock: Path) -> int:
    return lock.stat().st_size if lock.is_file() else 0
