"""What a run knows of its cells, and the one way in which that is written and told.

Lanes of several devices share it; one entry is written at a time.
"""

from __future__ import annotations

import datetime
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..analysis import flags
from ..analysis import summary as stats
from ..analysis.verdict import judge
from ..errors import BenchError, CannotRun
from ..formats import REGISTRY
from ..records import (
    Cell,
    CellResult,
    DeviceSpec,
    Failure,
    RunDevice,
    RunInfo,
    Skipped,
    Status,
    Trial,
)
from ..store import RunFolder, read_samples
from .prepare import Prepared

OnEvent = Callable[..., None]


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


@dataclass
class Work:
    """One cell on its way to a result."""

    cell: Cell
    got: Prepared = field(default_factory=Prepared)
    started_at: str = field(default_factory=now)
    trials: list[Trial] = field(default_factory=list)
    #: a result is written; nothing more is done for it
    over: bool = False


class Ledger:
    """Writes results and events of one run, from any thread."""

    def __init__(
        self, store: RunFolder, info: RunInfo, devices: dict[str, DeviceSpec], on: OnEvent
    ) -> None:
        self._store, self._devices, self._on = store, devices, on
        self._run_id, self._profile = info.run_id, info.profile
        self._lock = threading.RLock()

    @property
    def folder(self) -> Path:
        """The run's."""
        return self._store.folder

    def tell(self, event: str, **values: object) -> None:
        """To the run's events, all but `log`, and to who watches."""
        with self._lock:
            if event != "log":
                self._store.event(event, **{k: v for k, v in values.items() if k != "result"})
            self._on(event, **values)

    def device(self, device: RunDevice) -> None:
        """What is known of a device now."""
        with self._lock:
            self._store.write_device(device)

    def skip(self, skipped: Skipped) -> None:
        """A hole that was known from the plan."""
        failure = Failure("plan", skipped.reason)
        self._add(
            CellResult(
                run_id=self._run_id,
                cell=skipped.cell,
                status="skipped",
                verdict=None,
                reasons=(skipped.reason,),
                started_at=now(),
                finished_at=now(),
                failure=failure,
            )
        )

    def succeed(self, work: Work) -> None:
        """All trials are there: statistics, verdict, result."""
        trials = tuple(work.trials)
        samples = [read_samples(self.folder, trial) for trial in trials]
        summary = stats.summarise(trials, samples)
        wrong = flags.backwards(samples)
        verdict, reasons = judge(
            work.cell, trials, summary, wrong, work.got.placement, self._profile
        )
        result = replace(self._result(work, "ok"), verdict=verdict, reasons=reasons)
        self._end(work, replace(result, trials=trials, summary=summary))

    def fail(self, work: Work, error: BenchError) -> None:
        """The step that it was at did not work; what cannot be had at all is a skipped cell."""
        status: Status = "skipped" if isinstance(error, CannotRun) else "failed"
        failure = Failure(work.got.at, error.message, error.hint)
        result = replace(self._result(work, status), failure=failure, reasons=(error.message,))
        if status == "skipped":
            result = replace(result, verdict=None)
        self._end(work, replace(result, trials=tuple(work.trials)))

    def keep(self, work: Work) -> None:
        """Copy what the cache has of a cell into its folder, so that the run stands alone."""
        folder, got = self._store.cell_folder(work.cell), work.got
        kept = {
            "convert.log": Path(got.artifact.log) if got.artifact else None,
            "predictions.npz": got.predictions,
            "layers.json": got.layers,
        }
        for name, path in kept.items():
            if path is not None and not (folder / name).exists():
                shutil.copyfile(path, folder / name)

    def _result(self, work: Work, status: Status) -> CellResult:
        got, spec = work.got, REGISTRY[work.cell.format].SPEC
        return CellResult(
            run_id=self._run_id,
            cell=work.cell,
            status=status,
            verdict="invalid",
            reasons=(),
            started_at=work.started_at,
            finished_at=now(),
            image=got.image,
            artifact=got.artifact,
            parity=got.parity,
            scores=got.scores,
            compute=spec.precisions[work.cell.precision],
            emulated=self._devices[work.cell.device].emulated,
            wall_s=dict(got.wall_s),
            placement=got.placement,
        )

    def _end(self, work: Work, result: CellResult) -> None:
        work.over = True
        self._add(result)

    def _add(self, result: CellResult) -> None:
        with self._lock:
            self._store.add(result)
            self.tell("cell", cell=result.cell.id, status=result.status, result=result)
