"""Durations in a project's earlier runs. Ignores errors: it only serves estimates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..errors import StepFailed
from ..serial import Malformed, parse
from ..untrusted import files
from ..untrusted.text import RECORD_BYTES, read_objects

#: so many of the newest runs are read
RUNS: Final = 10
#: longer durations are invalid: a year
LONGEST_S: Final = 365 * 86_400.0
#: steps of a cell on its device that come before its trials
CHECKS: Final = ("deploy", "convert", "parity", "score")


@dataclass
class History:
    """Seconds per task and cell. Cached tasks take no time, so the longest duration counts."""

    tasks: dict[str, float] = field(default_factory=dict)
    #: (cell id, profile) -> checks on the device
    checks: dict[tuple[str, str], float] = field(default_factory=dict)
    #: (cell id, profile) -> one trial, in the newest run that has it
    trials: dict[tuple[str, str], float] = field(default_factory=dict)


def read_history(runs: Path) -> History:
    """From the newest runs in `runs`; unreadable records are ignored."""
    history = History()
    folders = sorted((path.parent for path in runs.glob("*/run.json")), reverse=True)
    for folder in folders[:RUNS]:
        profile = _field(_json(folder / "run.json"), "profile", str, "")
        for event in _lines(folder / "events.jsonl"):
            _add_task(history, event)
        for result in _lines(folder / "results.jsonl"):
            _add_cell(history, result, profile)
    return history


def _add_task(history: History, event: dict[str, Any]) -> None:
    name, seconds = _field(event, "task", str, ""), _field(event, "seconds", float, 0.0)
    if event.get("event") == "task_end" and event.get("outcome") == "ok" and name:
        history.tasks[name] = max(history.tasks.get(name, 0.0), seconds)


def _add_cell(history: History, result: dict[str, Any], profile: str) -> None:
    spent = _field(result, "wall_s", dict, {})
    trials = _field(result, "trials", list, [])
    cell = _field(result, "cell", dict, {})
    if result.get("status") != "ok" or not trials:
        return
    key = _id(cell), profile
    checks = sum(_field(spent, step, float, 0.0) for step in CHECKS)
    history.checks[key] = max(history.checks.get(key, 0.0), checks)
    if measured := _field(spent, "measure", float, 0.0):
        history.trials.setdefault(key, measured / len(trials))


def _id(cell: dict[str, Any]) -> str:
    """The same as `Cell.id`; empty for anything else."""
    try:
        from ..records import Cell

        return Cell(**cell).id
    except TypeError:
        return ""


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with suppress(StepFailed):
        yield from read_objects(path)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse(files.read(path, RECORD_BYTES), path.name)
    except (StepFailed, Malformed):
        return {}
    return found if isinstance(found, dict) else {}


def _field(values: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    found = values.get(name)
    if kind is float and isinstance(found, int) and not isinstance(found, bool):
        found = float(found)
    if kind is float and isinstance(found, float) and not 0 <= found <= LONGEST_S:
        return default
    return found if isinstance(found, kind) else default
