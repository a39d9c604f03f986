"""Formats stored runs and disk usage as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..housekeeping.deletion import Deletion
from ..housekeeping.runs import StoredRun
from ..housekeeping.usage import DiskUsage
from .human import age, local_time, size

RUN_COLUMNS = (
    "run", "scenario", "started", "age", "ok", "failed", "skipped", "verdicts", "size",
)  # fmt: skip
#: also part of the id; omitted on a narrow terminal
IN_ID = ("scenario", "started")
WIDE = 110
USAGE_COLUMNS = ("what", "size", "count", "")
DELETION_COLUMNS = ("what", "name", "size", "why")
#: verdicts, best first
VERDICTS = ("valid", "suspect", "invalid")


def run_table(
    runs: Sequence[StoredRun], now: float, width: int
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows; only the columns that fit."""
    shown = [name for name in RUN_COLUMNS if width >= WIDE or name not in IN_ID]
    return shown, [[_run(run, now)[name] for name in shown] for run in runs]


def run_notes(runs: Sequence[StoredRun]) -> list[str]:
    """What has no column: unreadable and unfinished runs, and links."""
    notes = []
    for run in runs:
        todo = run.planned - sum(run.cells.values())
        if run.problem:
            notes.append(f"{run.id}: unreadable: {run.problem}")
        elif run.finished_at is None:
            notes.append(f"{run.id}: unfinished, {todo} cells left")
        if run.link:
            notes.append(f"{run.id}: link to {run.link}")
    return notes


def _run(run: StoredRun, now: float) -> dict[str, str]:
    counts = {name: str(run.cells.get(name, 0)) for name in ("ok", "failed", "skipped")}
    verdicts = [f"{run.verdicts[name]} {name}" for name in VERDICTS if name in run.verdicts]
    return {
        "run": run.id,
        "scenario": run.scenario,
        "started": local_time(run.started_at),
        "age": age(now - run.started),
        **(dict.fromkeys(counts, "") if run.problem else counts),
        "verdicts": ", ".join(verdicts),
        "size": "link" if run.link else size(run.size_bytes),
    }


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
