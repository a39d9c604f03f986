"""Items to delete: runs, images, cache entries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ..errors import BenchError
from ..run import one_off
from ..store import writer
from . import cached, disk
from .runs import StoredRun, artifact_keys, old_runs, stored_runs


@dataclass(frozen=True)
class Deletion:
    """One item; `size_bytes` is None if unknown before deletion. `delete` deletes it."""

    kind: Literal["run", "image", "cache"]
    name: str
    size_bytes: int | None
    why: str
    delete: Callable[[], object]


def of_runs(runs: Path, chosen: Sequence[StoredRun], now: float | None = None) -> list[Deletion]:
    """Run folders; of a symbolic link only the link is deleted."""
    at = time.time() if now is None else now
    return [
        Deletion(
            "run", run.id, run.size_bytes, _why(run, at), partial(_remove_run, run.folder, runs)
        )
        for run in chosen
    ]


def of_old_runs(
    runs: Path, older_than_s: float | None, keep_last: int | None, unfinished: bool
) -> list[Deletion]:
    """See `old_runs`."""
    now = time.time()
    old = old_runs(
        stored_runs(runs),
        now=now,
        older_than_s=older_than_s,
        keep_last=keep_last,
        unfinished=unfinished,
    )
    return of_runs(runs, old, now)


def of_old_images(engine: str) -> list[Deletion]:
    """Outdated images and environments, and the remains of builds."""
    found = [
        Deletion(
            "image",
            built.reference,
            built.size_bytes,
            "outdated",
            partial(one_off.remove_image, engine, built),
        )
        for built in one_off.old_images(engine)
    ]
    left = Deletion(
        "image", "remains of builds", None, "unfinished", partial(one_off.sweep, engine)
    )
    return [*found, left]


def of_cache(cache: Path, runs: Path, older_than_s: float | None) -> list[Deletion]:
    """See `cached.old_entries`; converted models that `runs` refer to are kept."""
    needed = artifact_keys(stored_runs(runs)) if older_than_s is not None else frozenset()
    entries = cached.old_entries(cache, now=time.time(), older_than_s=older_than_s, needed=needed)
    return [
        Deletion(
            "cache",
            f"{entry.kind}/{entry.path.name}",
            entry.size_bytes,
            entry.why,
            partial(disk.remove, entry.path, cache / entry.kind),
        )
        for entry in entries
    ]


def _remove_run(folder: Path, runs: Path) -> None:
    """Raises BenchError if a process is writing it."""
    holder = None if folder.is_symlink() else writer(folder)
    if holder:
        raise BenchError(
            f"run {folder.name} is in use by {holder.text}", "Wait until that process has ended."
        )
    disk.remove(folder, runs)


def _why(run: StoredRun, now: float) -> str:
    days = (now - run.started) / 86_400
    words = [f"{days:.0f} days old" if days >= 1 else "today"]
    if run.link:
        words.append(f"link; {run.link} is kept")
    if run.problem:
        words.append(run.problem)
    elif run.finished_at is None:
        words.append("unfinished")
    return ", ".join(words)
