"""Disk usage by kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BenchError
from ..run import one_off
from ..workspace import Workspace
from . import cached, disk


@dataclass(frozen=True)
class DiskUsage:
    """`what`: runs, reports, images, or cache/KIND; None: unknown."""

    what: str
    count: int | None
    size_bytes: int | None
    note: str


def all_usages(space: Workspace, cache: Path, engine: str) -> list[DiskUsage]:
    """The project's, then the machine's."""
    own = [_folders("runs", space.runs), _folders("reports", space.reports)]
    kinds = [
        DiskUsage(f"cache/{usage.kind}", usage.entries, usage.size_bytes, usage.title)
        for usage in cached.usages(cache)
    ]
    return [*own, _images(engine), *kinds]


def _folders(name: str, folder: Path) -> DiskUsage:
    count = sum(path.is_dir() for path in folder.iterdir()) if folder.is_dir() else 0
    return DiskUsage(name, count, disk.size_bytes(folder.resolve()), str(folder))


def _images(engine: str) -> DiskUsage:
    try:
        name, built = one_off.built_images(engine)
    except BenchError as error:
        return DiskUsage("images", None, None, error.message)
    size = sum(image.size_bytes for image in built)
    return DiskUsage(
        "images", len(built), size, f"{name}; shared layers are counted for each image"
    )
