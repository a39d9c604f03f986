"""The cache by kind: purpose, size, and which entries may be deleted.

Deleted entries are recreated when needed. Keys, noise floors, the lab and the working
folder of this machine are never deleted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import disk

#: kinds that are made again when they are needed -> what they are
KINDS: Final = {
    "artifacts": "converted models",
    "outputs": "outputs for parity",
    "predict": "predictions",
    "profile": "layer profiles",
    "passes": "passes over images in progress",
    "packs": "decoded images",
    "bundles": "runtimes for devices",
    "payload": "copies of the runner",
    "truth": "annotations of datasets, as COCO",
    "hashes": "hashes of transferred files and of datasets",
    "failed": "files of failed steps",
    "logs": "logs of commands",
}
#: the others that bench knows
KEPT: Final = {
    "locks": "locks of entries that are being created",
    "venvs": "environments, see images",
    "lab": "the emulated lab",
    "noise": "noise floors of devices",
    "device": "working folder of this machine",
    "adb": "keys",
}
#: an unfinished entry of a process that may still run is younger than this
STALE_S: Final = 86_400.0


@dataclass(frozen=True)
class Usage:
    """Disk usage of one kind."""

    kind: str
    title: str
    entries: int
    size_bytes: int


@dataclass(frozen=True)
class CacheEntry:
    """One entry that may be deleted."""

    kind: str
    path: Path
    size_bytes: int
    why: str


def usages(cache: Path) -> list[Usage]:
    """Every kind, largest first; `venvs` are listed as images."""
    if not cache.is_dir():
        return []
    titles = {**KINDS, **KEPT}
    found = []
    for folder in cache.iterdir():
        if folder.name != "venvs":
            count = len(list(folder.iterdir())) if folder.is_dir() else 1
            title = titles.get(folder.name, "unknown, or of another version")
            found.append(Usage(folder.name, title, count, disk.size_bytes(folder)))
    return sorted(found, key=lambda usage: (-usage.size_bytes, usage.kind))


def old_entries(
    cache: Path,
    *,
    now: float,
    older_than_s: float | None = None,
    needed: Collection[str] = (),
) -> list[CacheEntry]:
    """Entries of failed or interrupted steps; with an age also those unused for that long.

    Artifacts whose keys are in `needed` stay.
    """
    found = []
    for kind in KINDS:
        folder = cache / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            why = _why(kind, path, now - disk.last_used(path), older_than_s, needed)
            if why:
                found.append(CacheEntry(kind, path, disk.size_bytes(path), why))
    return found


def _why(
    kind: str, path: Path, unused_s: float, older_than_s: float | None, needed: Collection[str]
) -> str:
    if path.name.startswith("."):
        return "unfinished" if unused_s > STALE_S else ""
    if older_than_s is not None and unused_s > older_than_s and path.name not in needed:
        return f"unused for {unused_s / 86_400:.0f} days"
    return "failed step" if kind == "failed" and unused_s > STALE_S else ""
