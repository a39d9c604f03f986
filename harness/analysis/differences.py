"""Recorded differences between two results besides the latency. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ..records import Arrivals, CellResult, DeviceState, RunInfo
from ..runner.patterns import REGISTRY

Recorded = TypeVar("Recorded")


@dataclass(frozen=True)
class Difference:
    """One recorded setting with its old and new value; empty: not recorded."""

    what: str
    old: str
    new: str


RUN: Final[dict[str, Callable[[RunInfo], object]]] = {
    "harness version": lambda run: run.harness_version,
    "harness sha256": lambda run: run.harness_sha256,
    "git": lambda run: run.git,
    "host": lambda run: run.host,
    "profile": lambda run: run.profile,
    "dataset": lambda run: run.dataset,
}

CELL: Final[dict[str, Callable[[CellResult], object]]] = {
    "model": lambda r: r.cell.model,
    "format": lambda r: r.cell.format,
    "precision": lambda r: r.cell.precision,
    "device": lambda r: r.cell.device,
    "threads": lambda r: r.cell.threads,
    "batch": lambda r: r.cell.batch,
    "engine": lambda r: r.image.engine if r.image else None,
    "confinement": lambda r: r.image.confinement if r.image else None,
    "image digest": lambda r: r.image.digest if r.image else None,
    "artifact sha256": lambda r: r.artifact.sha256 if r.artifact else None,
    "arrivals": lambda r: arrivals(r),
    "compute": lambda r: r.compute,
    "emulated": lambda r: r.emulated,
    "runtime version": lambda r: _over_trials([t.runtime_version for t in r.trials]),
    "Python": lambda r: _over_trials([t.python_version for t in r.trials]),
    "CPUs": lambda r: _over_trials([",".join(map(str, t.affinity)) for t in r.trials]),
    "OS threads": lambda r: _over_trials([str(t.os_threads) for t in r.trials]),
}

STATE: Final[dict[str, Callable[[DeviceState], object]]] = {
    "CPU": lambda s: s.cpu_model,
    "cores": lambda s: s.cores,
    "governor": lambda s: s.governor,
    "power mode": lambda s: s.power_mode,
    "kernel": lambda s: s.os,
    "memory": lambda s: _gigabytes(s.memory_total_bytes),
    "clock": lambda s: _clock(s),
}


def run_differences(old: RunInfo, new: RunInfo) -> tuple[Difference, ...]:
    """What differs for all cells; empty for the same run."""
    return _differences(RUN, old, new)


def cell_differences(old: CellResult, new: CellResult) -> tuple[Difference, ...]:
    """How the cells differ in inputs and device; device state is that before the first trial."""
    found = _differences(CELL, old, new)
    if not old.trials or not new.trials:
        return found
    return found + _differences(STATE, old.trials[0].before, new.trials[0].before)


def arrivals(result: CellResult) -> str:
    """Its arrival pattern as text: `single`, `camera, 30/s`; empty: no trials."""
    return _over_trials([_arrive(t.arrivals) for t in result.trials])


def _arrive(known: Arrivals | None) -> str:
    """The requested pattern; a plain tight loop records none."""
    if known is None:
        return "single"
    registered = REGISTRY.get(known.pattern)
    asked = registered.SPEC.asked(known) if registered else ""
    return f"{known.pattern}, {asked}" if asked else known.pattern


def _differences(
    fields: dict[str, Callable[[Recorded], object]], old: Recorded, new: Recorded
) -> tuple[Difference, ...]:
    pairs = ((what, _text(read(old)), _text(read(new))) for what, read in fields.items())
    return tuple(Difference(what, a, b) for what, a, b in pairs if a != b)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _over_trials(values: list[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def _gigabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e9:.0f} GB"


def _clock(state: DeviceState) -> str | None:
    """Mean clock in steps of 0.1 GHz; smaller changes are noise."""
    if not state.frequency_khz:
        return None
    return f"{sum(state.frequency_khz) / len(state.frequency_khz) / 1e6:.1f} GHz"
