"""Stored runs and disk usage in words and as JSON. Pure."""

from __future__ import annotations

from typing import Any

from ..housekeeping.deletion import Deletion
from ..housekeeping.runs import StoredRun
from ..housekeeping.usage import DiskUsage
from .human import age, local_time, size

RUN_COLUMNS = ("run", "scenario", "started", "age", "cells", "verdicts", "size")
USAGE_COLUMNS = ("what", "size", "count", "")
DELETION_COLUMNS = ("what", "name", "size", "why")
#: verdicts, the best first
VERDICTS = ("valid", "suspect", "invalid")


def run_row(run: StoredRun, now: float) -> tuple[str, ...]:
    """One row of RUN_COLUMNS."""
    if run.problem:
        return (
            run.id,
            "",
            "",
            age(now - run.started),
            "",
            f"not readable: {run.problem}",
            _size(run),
        )
    return (
        run.id,
        run.scenario,
        local_time(run.started_at),
        age(now - run.started),
        _cells(run),
        ", ".join(f"{run.verdicts[name]} {name}" for name in VERDICTS if name in run.verdicts),
        _size(run),
    )


def _size(run: StoredRun) -> str:
    return f"link to {run.link}" if run.link else size(run.size_bytes)


def _cells(run: StoredRun) -> str:
    """`9 ok, 1 failed, 2 skipped`; of an unfinished run also how many are to do."""
    words = [f"{run.cells[s]} {s}" for s in ("ok", "failed", "skipped") if run.cells.get(s)]
    todo = run.planned - sum(run.cells.values())
    if run.finished_at is None:
        words.append(f"not finished, {todo} to do")
    return ", ".join(words)


def run_record(run: StoredRun) -> dict[str, Any]:
    """For `--json`; keys stay."""
    return {
        "run_id": run.id,
        "scenario": run.scenario,
        "profile": run.profile,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "cells": {name: run.cells.get(name, 0) for name in ("ok", "failed", "skipped")},
        "planned": run.planned,
        "verdicts": {name: run.verdicts.get(name, 0) for name in VERDICTS},
        "size_bytes": run.size_bytes,
        "folder": str(run.folder),
        "problem": run.problem,
    }


def usage_row(usage: DiskUsage) -> tuple[str, ...]:
    """One row of USAGE_COLUMNS."""
    count = "" if usage.count is None else str(usage.count)
    return usage.what, _bytes(usage.size_bytes), count, usage.note


def usage_record(usage: DiskUsage) -> dict[str, Any]:
    """For `--json`; keys stay."""
    return {
        "what": usage.what,
        "size_bytes": usage.size_bytes,
        "count": usage.count,
        "note": usage.note,
    }


def deletion_row(one: Deletion) -> tuple[str, ...]:
    """One row of DELETION_COLUMNS."""
    return one.kind, one.name, _bytes(one.size_bytes), one.why


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else size(count)
