"""A run is a folder of append-only files. Writes are synced to disk.

A truncated last line (the writer was killed) is not an error; other malformed files are.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import locks
from .durable import sync_folder
from .errors import BenchError, RunEnds, StepFailed, UsageError
from .records import Cell, CellResult, Plan, RunDevice, RunInfo, Trial
from .serial import Malformed, dumps, loads
from .untrusted import files, results

#: maximum size of a file of a run
LARGEST_BYTES = 1 << 30
#: held by the process that writes a run, and names it
WRITER = "writer.lock"
#: an incomplete line is searched from the end in pieces of this size
PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Run:
    """A run as read from its folder; `results` in the plan's order, at most one a cell."""

    folder: Path
    info: RunInfo
    plan: Plan
    results: tuple[CellResult, ...]
    #: of cells that have no result yet: what their trials so far amount to
    provisional: tuple[CellResult, ...] = ()


class RunFolder:
    """Writes one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, info: RunInfo, plan: Plan, scenario: str) -> RunFolder:
        """Raises BenchError if the folder cannot be created, or contains a run."""
        if (folder / "run.json").exists():
            raise BenchError(f"{folder}: contains a run", "Start the run again a second later.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder)
            _write(folder / "plan.json", dumps(plan, indent=1))
            _write(folder / "scenario.yaml", scenario)
            run.write_info(info)  # last: a folder without it is not a run
            sync_folder(folder.parent)
        except OSError as error:
            raise _not_writable(folder, error) from None
        return run

    def write_info(self, info: RunInfo) -> None:
        """Replace `run.json` atomically."""
        _write(self.folder / "run.json", dumps(info, indent=1))

    def add(self, result: CellResult) -> None:
        """Append one line; synced to disk on return."""
        _append(self.folder / "results.jsonl", dumps(result), sync=True)

    def add_provisional(self, result: CellResult) -> None:
        """A cell's result before its last trial; not needed to resume."""
        _append(self.folder / "provisional.jsonl", dumps(result))

    def write_device(self, device: RunDevice) -> None:
        """Replace the record of a device atomically."""
        folder = self.folder / "devices"
        folder.mkdir(exist_ok=True)
        _write(folder / f"{device.name}.json", dumps(device, indent=1))

    def event(self, event: str, **values: object) -> None:
        """One line of progress."""
        _append(
            self.folder / "events.jsonl",
            json.dumps({"event": event, "at": round(time.time(), 3), **values}),
        )

    def cell_folder(self, cell: Cell) -> Path:
        """Made on first use."""
        folder = self.folder / "cells" / cell.id
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@contextmanager
def sole_writer(folder: Path, doing: str = "") -> Iterator[None]:
    """In the body, no other process writes the run's folder, which is created if missing.

    Raises BenchError with the process that does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from None
    with locks.held(folder / WRITER, f"run {folder.name}", doing):
        yield


def writer(folder: Path) -> locks.LockHolder | None:
    """The process that currently writes a run's folder."""
    return locks.holder(folder / WRITER)


def _not_writable(folder: Path, error: OSError) -> BenchError:
    return BenchError(
        f"{folder}: {error.strerror or error}",
        "Make the folder writable, or name another project with --project.",
    )


def read_run(folder: Path) -> Run:
    """Raises BenchError that names the malformed file and value."""
    try:
        info = loads(RunInfo, files.read(folder / "run.json", LARGEST_BYTES), "run.json")
        plan = loads(Plan, files.read(folder / "plan.json", LARGEST_BYTES), "plan.json")
        finished = {r.cell.id: r for r in _results(folder / "results.jsonl")}
        early = {r.cell.id: r for r in _results(folder / "provisional.jsonl")}
    except StepFailed as error:
        raise UsageError(
            f"{folder}: not a run: {error.message}", "Name a run that `bench runs` lists."
        ) from None
    except Malformed as error:
        raise BenchError(
            f"{folder}: {error}", "Restore the file, or use the version of bench that wrote it."
        ) from None
    order = [cell.id for cell in plan.cells] + [s.cell.id for s in plan.skipped]
    place = {cell: at for at, cell in enumerate(order)}

    def ordered(found: dict[str, CellResult]) -> tuple[CellResult, ...]:
        return tuple(sorted(found.values(), key=lambda r: place.get(r.cell.id, len(order))))

    early = {cell: result for cell, result in early.items() if cell not in finished}
    return Run(folder, info, plan, ordered(finished), ordered(early))


def read_devices(folder: Path) -> dict[str, RunDevice]:
    """The run's device records by name; empty for runs without.

    Raises BenchError that names a malformed file.
    """
    found = {}
    for path in sorted((folder / "devices").glob("*.json")):
        try:
            data = files.read(path, LARGEST_BYTES, folder)
            device = loads(RunDevice, data, f"devices/{path.name}")
        except (StepFailed, Malformed) as error:
            raise BenchError(
                f"{folder}: {error}", "Restore the file, or use the version of bench that wrote it."
            ) from None
        found[device.name] = device
    return found


def find_run(runs: Path, name: str) -> Path:
    """The folder of a run by path, id, start of an id, or `latest`.

    Raises UsageError that lists the runs.
    """
    known = sorted(p.parent.name for p in runs.glob("*/run.json"))
    if name == "latest" and known:
        return runs / known[-1]
    for folder in (Path(name), runs / name):
        if (folder / "run.json").is_file():
            return folder
    begin_so = [run for run in known if name and run.startswith(name)]
    if len(begin_so) == 1:
        return runs / begin_so[0]
    message = f"no run '{name}' in {runs}"
    if not known:
        raise UsageError(message, "Start a run with `bench run SCENARIO`.")
    some = begin_so or known
    raise UsageError(
        message, f"Name one of {', '.join(some[-5:])}, or another that `bench runs` lists."
    )


def read_samples(folder: Path, trial: Trial) -> dict[str, NDArray[np.int64]]:
    """Arrays of one trial, int64 ns; raises BenchError for a missing or damaged file."""
    try:
        return results.read_samples(folder / trial.folder / "samples.npz", folder)
    except StepFailed as error:
        raise BenchError(
            error.message, "Delete the trial's folder, then continue with --resume."
        ) from None


def _results(path: Path) -> list[CellResult]:
    """Complete lines only: a line without its end was cut off by a kill."""
    if not path.exists():
        return []
    *whole, _ = files.read(path, LARGEST_BYTES).split(b"\n")
    lines = [(i + 1, line) for i, line in enumerate(whole) if line.strip()]
    return [loads(CellResult, line, f"{path.name}:{i}") for i, line in lines]


def raise_if_full(error: OSError) -> None:
    """Raises RunEnds if the disk is full: no cell is at fault, and none could be recorded."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"{error.filename or 'a file of the run'}: {error.strerror}"
        raise RunEnds(what, "Free some space, then continue with --resume.") from error


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise_if_full(error)
        if error.errno == errno.ELOOP:
            what = f"{error.filename}: is a symbolic link, which a run must not contain"
            raise BenchError(what, "Remove it.") from None
        raise


def _not_linked(path: str, flags: int) -> int:
    """Opens a file to write, not through a link: the run folder may come from elsewhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with _told():
        with open(part, "w", encoding="utf-8", opener=_not_linked) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)


def _append(path: Path, line: str, sync: bool = False) -> None:
    with _told():
        is_new = not path.exists()
        with open(path, "ab+", opener=_not_linked) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # other threads append to it, too
            _cut_torn_line(file)
            file.write(line.encode() + b"\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if sync and is_new:
            sync_folder(path.parent)


def _cut_torn_line(file: BinaryIO) -> None:
    """Drop an incomplete last line, however long; nothing else is ever removed."""
    end = at = file.seek(0, os.SEEK_END)
    while at:
        begin = max(0, at - PIECE_BYTES)
        file.seek(begin)
        newline = file.read(at - begin).rfind(b"\n")
        at = begin + newline + 1
        if newline >= 0:
            break
    if at < end:
        file.truncate(at)
