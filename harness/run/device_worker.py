"""Runs a device's cells: checks them there, then measures them with interleaved trials.

A step is retried once when a lost device is back; three losses in a row exclude it. A failure of a
cell is a result, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ..bugs import bug_report
from ..errors import BenchError, DeviceLost, RunEnds, StepFailed
from ..records import Cell, Failure
from ..steps.measure import schedule
from ..targets.target import Target, connected, record
from .cell import CellRun, cell_steps, failed_result
from .job import DeviceJob
from .once import Once
from .readable import readable
from .recorder import Recorder

T = TypeVar("T")

#: so many losses in a row exclude a device
MOST_LOSSES = 3


class Stopped(BaseException):
    """The run is stopping; unfinished work is not written."""


def run_device(job: DeviceJob, recorder: Recorder) -> None:
    """Check and measure every cell of the job; each has a result on return.

    Raises RunEnds if nothing more can be written, Stopped if the run is stopping.
    """
    spec = job.device

    def on_line(line: str) -> None:
        recorder.event("log", line=f"{spec.name}: {line}")

    try:
        connection = connected(
            spec, recorder.engine, recorder.cache, recorder.logs, job.run_id, on_line
        )
        with connection as target, recorder.stoppable(target.kill_jobs):
            DeviceWorker(job, recorder, target).run()
    except RunEnds:
        raise
    except Exception as error:  # no device costs another one its results
        if recorder.stopping:
            raise Stopped from error
        _fail_all(job, recorder, error)


def _fail_all(job: DeviceJob, recorder: Recorder, error: Exception) -> None:
    """Fail every cell without a result, for an error of the device as a whole."""
    if isinstance(error, BenchError):
        failure = Failure("deploy", error.message, error.hint)
    else:
        report = bug_report(error, f"device {job.device.name}")
        path = recorder.logs / f"bug-{job.device.name}.txt"
        path.write_text(report.text, encoding="utf-8")
        failure = Failure("deploy", report.line, f"Report it with the contents of {path}.", "bug")
    for cell in job.cells:
        if cell.cell.id not in recorder.finished:
            at, emulated = cell.started_at, job.device.emulated
            result = failed_result(job.run_id, cell.cell, failure, at, emulated=emulated)
            recorder.result(result)


class DeviceWorker:
    """Runs the cells of a job on its connected device; satisfies `cell.Device`."""

    def __init__(self, job: DeviceJob, recorder: Recorder, target: Target) -> None:
        self._job, self._recorder, self.target = job, recorder, target
        self._losses = 0
        self._last_loss = ""
        once = Once()
        self._runs = {cell.cell: CellRun(cell, job, self, recorder, once) for cell in job.cells}
        self._steps = {cell: cell_steps(run) for cell, run in self._runs.items()}

    def run(self) -> None:
        """Check every cell, then measure one trial of each per round."""
        self._recorder.device(readable(record(self.target)))
        for steps in self._steps.values():
            next(steps, None)
        order = schedule(
            [cell for cell, run in self._runs.items() if not run.over],
            self._job.rules.trials,
            self._job.rules.seed,
        )
        for position, (cell, index) in enumerate(order):
            if not self._runs[cell].over:
                following = order[position + 1][0].id if position + 1 < len(order) else ""
                place = {"position": position, "total": len(order), "next": following}
                trials = self._job.rules.trials
                self._recorder.event("trial", cell=cell.id, index=index, of=trials, **place)
                began = time.monotonic()
                next(self._steps[cell], None)
                seconds = round(time.monotonic() - began, 3)
                self._recorder.event(
                    "trial_end", cell=cell.id, index=index, seconds=seconds, **place
                )

    def attempt(self, cell: Cell, step: Callable[[], T]) -> T:
        """See `cell.Device`; an excluded device is not used again."""
        if self._losses >= MOST_LOSSES:
            raise self._excluded()
        try:
            result = self._try(cell, step)
        except DeviceLost:
            if not self._is_back():
                raise
            result = self._try(cell, step)
        return result

    def holds(self, held: tuple[str, ...]) -> None:
        """See `cell.Device`."""
        self._recorder.device(record(self.target, held))

    def _try(self, cell: Cell, step: Callable[[], T]) -> T:
        if self._recorder.stopping:
            raise Stopped
        try:
            result = step()
        except BenchError as error:
            if self._recorder.stopping:
                raise Stopped from error
            if isinstance(error, DeviceLost):
                self._lost(cell, error.message)
            raise
        self._losses = 0
        return result

    def _lost(self, cell: Cell, reason: str) -> None:
        self._losses += 1
        self._last_loss = reason
        self._recorder.event("lost", device=self.target.spec.name, cell=cell.id, reason=reason)

    def _is_back(self) -> bool:
        if self._losses >= MOST_LOSSES:
            return False
        try:
            self.target.wait_until_back()
        except BenchError:
            self._losses += 1
            return False
        return True

    def _excluded(self) -> StepFailed:
        name = self.target.spec.name
        reason = (
            f"{name} was excluded: lost {MOST_LOSSES} times in a row; last error: {self._last_loss}"
        )
        self._recorder.device(record(self.target, set_aside=reason))
        return StepFailed(
            reason,
            f"Find the cause with `bench devices check {name}`, then continue with --resume.",
        )
