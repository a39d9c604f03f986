"""The data of the pages: a run's records, one entry per cell, and the raw samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import BenchError
from harness.records import (
    PRECISIONS,
    Cell,
    CellResult,
    Plan,
    RunInfo,
    Skipped,
    Summary,
    Trial,
)
from harness.store import read_samples

State = Literal["valid", "suspect", "invalid", "failed", "skipped", "missing"]


class RunData(Protocol):
    """A run as the store read it, and the folder that `Trial.folder` is relative to."""

    @property
    def folder(self) -> Path: ...
    @property
    def info(self) -> RunInfo: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def results(self) -> tuple[CellResult, ...]: ...


@dataclass(frozen=True)
class Entry:
    """One cell of the matrix as the report shows it, with every reason for its state."""

    cell: Cell
    state: State
    reasons: tuple[str, ...]
    result: CellResult | None = None
    emulated: bool = False

    @property
    def summary(self) -> Summary | None:
        """The statistics, if valid: never those of an invalid or failed cell."""
        if self.result is None or self.state not in ("valid", "suspect"):
            return None
        return self.result.summary

    def score(self, key: str) -> float | None:
        """One accuracy value, by the same rule as `summary`."""
        if self.result is None or self.result.scores is None:
            return None
        return self.result.scores.values.get(key) if self.summary else None

    @property
    def size_bytes(self) -> int | None:
        """Size of the converted file, known even if the measurement failed."""
        if self.result is None or self.result.artifact is None:
            return None
        return self.result.artifact.size_bytes


@dataclass(frozen=True)
class Axes:
    """Which parts of a cell's name differ within the run, so that labels stay short."""

    models: tuple[str, ...]
    formats: tuple[str, ...]
    precisions: tuple[str, ...]
    devices: tuple[str, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]

    def label(self, cell: Cell) -> str:
        """`onnx fp32`, with model, threads and batch only if the run has several."""
        words = [cell.model] if len(self.models) > 1 else []
        words += [cell.format, cell.precision]
        words += [f"t{cell.threads}"] if len(self.threads) > 1 else []
        words += [f"b{cell.batch}"] if len(self.batches) > 1 else []
        return " ".join(words)


@dataclass(frozen=True)
class TrialSamples:
    """The raw samples of one trial; `missing` says why there are none."""

    index: int
    latency_ms: NDArray[np.float64]
    start_s: NDArray[np.float64]
    warmup_s: float = 0.0
    timed_s: float = 0.0
    stages_s: float = 0.0
    missing: str = ""
    #: when the first sample began, in the device's seconds since boot
    began_s: float = 0.0
    warmup_ms: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def axes(cells: Sequence[Cell]) -> Axes:
    """Values of each part in order of first appearance; precisions in their own order."""
    seen = {c.precision for c in cells}
    return Axes(
        models=tuple(dict.fromkeys(c.model for c in cells)),
        formats=tuple(dict.fromkeys(c.format for c in cells)),
        precisions=tuple(p for p in PRECISIONS if p in seen),
        devices=tuple(dict.fromkeys(c.device for c in cells)),
        threads=tuple(sorted({c.threads for c in cells})),
        batches=tuple(sorted({c.batch for c in cells})),
    )


def entries(run: RunData) -> tuple[Entry, ...]:
    """Every planned, skipped and finished cell once, with its last result."""
    results = {r.cell.id: r for r in run.results}
    made: dict[str, Entry] = {}
    for cell in run.plan.cells:
        made[cell.id] = _entry(cell, results.get(cell.id), bool(run.info.finished_at))
    for skipped in run.plan.skipped:
        made.setdefault(skipped.cell.id, _skipped(skipped))
    for result in results.values():
        made.setdefault(result.cell.id, _entry(result.cell, result, True))
    emulated = {e.cell.device for e in made.values() if e.emulated}
    return tuple(e if e.cell.device not in emulated else _emulated(e) for e in made.values())


def _emulated(entry: Entry) -> Entry:
    return Entry(entry.cell, entry.state, entry.reasons, entry.result, emulated=True)


def _skipped(skipped: Skipped) -> Entry:
    return Entry(skipped.cell, "skipped", (skipped.reason,))


def _entry(cell: Cell, result: CellResult | None, finished: bool) -> Entry:
    if result is None:
        why = "the run stopped before this cell" if finished else "not measured yet"
        return Entry(cell, "missing", (why,))
    state, reasons = _judge(result)
    return Entry(
        cell, state, tuple(dict.fromkeys(r for r in reasons if r)), result, result.emulated
    )


def _judge(result: CellResult) -> tuple[State, Iterable[str]]:
    failure = result.failure
    other = tuple(r for r in result.reasons if failure is None or r != failure.reason)
    why = (*((f"{failure.step}: {failure.reason}",) if failure else ()), *other)
    if result.verdict == "invalid":
        return "invalid", why or ("no reason recorded",)
    if result.status != "ok":
        state: State = "skipped" if result.status == "skipped" else "failed"
        return state, why or ("no reason recorded",)
    if result.summary is None:
        return "failed", why or ("not measured",)
    flags = (*result.reasons, *result.summary.flags)
    if result.verdict == "valid":
        return "valid", flags
    return "suspect", flags or ("no verdict recorded",)


def load_trial(folder: Path, trial: Trial) -> TrialSamples:
    """Latencies and start times of one trial, with the sums that the time page needs."""
    try:
        made = _samples(trial.index, read_samples(folder, trial))
        return replace(made, began_s=made.began_s + trial.boot_offset_s)
    except (BenchError, KeyError, ValueError):
        empty = np.empty(0)
        why = f"{trial.folder}/samples.npz is missing or damaged"
        return TrialSamples(trial.index, empty, empty, missing=why)


def _samples(index: int, arrays: dict[str, NDArray[np.int64]]) -> TrialSamples:
    latency, start = arrays["latency_ns"], arrays["start_ns"]
    if latency.shape != start.shape:
        raise ValueError("latency_ns and start_ns differ in length")
    return TrialSamples(
        index=index,
        latency_ms=latency / 1e6,
        start_s=(start - start[0]) / 1e9 if start.size else start / 1e9,
        warmup_s=_seconds(arrays, "warmup_ns"),
        timed_s=float(start[-1] - start[0] + latency[-1]) / 1e9 if start.size else 0.0,
        stages_s=_seconds(arrays, "e2e_ns"),
        began_s=float(start[0]) / 1e9 if start.size else 0.0,
        warmup_ms=arrays["warmup_ns"] / 1e6 if "warmup_ns" in arrays else np.empty(0),
    )


def _seconds(arrays: dict[str, NDArray[np.int64]], name: str) -> float:
    return float(arrays[name].sum()) / 1e9 if name in arrays else 0.0
