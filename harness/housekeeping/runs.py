"""The stored runs of a project, and which of them are old."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BenchError
from ..store import read_run
from . import disk


@dataclass(frozen=True)
class StoredRun:
    """One folder in runs/; `problem` says why one is unreadable."""

    id: str
    folder: Path
    size_bytes: int
    scenario: str = ""
    profile: str = ""
    started_at: str = ""
    #: None: it was interrupted, still runs, or cannot be read
    finished_at: str | None = None
    #: cells by status, and measured cells by verdict
    cells: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    planned: int = 0
    problem: str = ""
    #: where the folder is a link, what it points to
    link: str = ""

    @property
    def started(self) -> float:
        """Seconds since 1970; falls back to the time of its files."""
        try:
            return datetime.datetime.fromisoformat(self.started_at).timestamp()
        except (ValueError, OverflowError):
            return disk.last_used(self.folder)


def stored_runs(runs: Path) -> list[StoredRun]:
    """Every folder of `runs` with a run.json, newest id first."""
    folders = sorted((path.parent for path in runs.glob("*/run.json")), reverse=True)
    return [stored_run(folder) for folder in folders]


def stored_run(folder: Path) -> StoredRun:
    """The summary of one run."""
    link = str(folder.readlink()) if folder.is_symlink() else ""
    size = 0 if link else disk.size_bytes(folder)
    try:
        run = read_run(folder)
    except BenchError as error:
        problem = error.message.removeprefix(f"{folder}: ")
        return StoredRun(folder.name, folder, size, problem=problem, link=link)
    return StoredRun(
        id=folder.name,
        folder=folder,
        size_bytes=size,
        scenario=run.info.scenario,
        profile=run.info.profile,
        started_at=run.info.started_at,
        finished_at=run.info.finished_at,
        cells=dict(Counter(result.status for result in run.results)),
        verdicts=dict(Counter(r.verdict for r in run.results if r.status == "ok" and r.verdict)),
        planned=len(run.plan.cells) + len(run.plan.skipped),
        link=link,
    )


def old_runs(
    runs: Sequence[StoredRun],
    *,
    now: float,
    older_than_s: float | None = None,
    keep_last: int | None = None,
    unfinished: bool = False,
) -> list[StoredRun]:
    """Runs older than `older_than_s` and not among the `keep_last` newest of their scenario.

    Without either rule none. Unfinished runs are kept unless `unfinished` is set.
    """
    if older_than_s is None and keep_last is None:
        return []
    newest_first = sorted(runs, key=lambda run: (run.started, run.id), reverse=True)
    seen: Counter[str] = Counter()
    old = []
    for run in newest_first:
        seen[run.scenario] += 1
        among_last = keep_last is not None and seen[run.scenario] <= keep_last
        is_young = older_than_s is not None and now - run.started < older_than_s
        if not among_last and not is_young and (unfinished or run.finished_at is not None):
            old.append(run)
    return old


def artifact_keys(runs: Sequence[StoredRun]) -> frozenset[str]:
    """Converted models that `bench replay` of these runs needs."""
    keys: set[str] = set()
    for run in runs:
        if not run.problem:
            results = read_run(run.folder).results
            keys |= {result.artifact.key for result in results if result.artifact}
    return frozenset(keys)
