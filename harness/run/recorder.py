"""Writes and announces a run's results and events, from any thread.

One process writes a run (`store.sole_writer`); its threads append under a lock of the file itself.
"""

from __future__ import annotations

import datetime
import errno
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..bugs import bug_report
from ..containers import ContainerEngine
from ..errors import BenchError, RunEnds
from ..records import Cell, CellResult, Failure, RunDevice, Skipped, Step
from ..store import RunFolder
from ..untrusted.files import copy_file

OnEvent = Callable[..., None]
#: errors of writing to a closed pipe or terminal
GONE = (errno.EPIPE, errno.EIO)


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def ignore(event: str, **values: object) -> None:
    """For runs without an observer."""


class Recorder:
    """A run's folder, its observer, and the resources of this process."""

    def __init__(
        self,
        run: RunFolder,
        run_id: str,
        cache: Path,
        engine: ContainerEngine,
        on_event: OnEvent = ignore,
    ) -> None:
        self._run, self._run_id, self._on_event = run, run_id, on_event
        self.cache, self.engine = cache, engine
        #: step -> seconds of wall time over all cells
        self.wall_s: defaultdict[str, float] = defaultdict(float)
        #: ids of cells that have a result
        self.finished: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._to_stop: list[Callable[[], None]] = []

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._run.folder

    @property
    def logs(self) -> Path:
        """The folder for logs that belong to no cell."""
        return self.folder / "logs"

    @property
    def stopping(self) -> bool:
        """Whether the run is stopping: unfinished work is not written."""
        return self._stopping.is_set()

    @contextmanager
    def stoppable(self, stop: Callable[[], None]) -> Iterator[None]:
        """While the body runs, `stop` is called if the run is stopping."""
        self._to_stop.append(stop)
        try:
            yield
        finally:
            self._to_stop.remove(stop)

    def stop(self) -> None:
        """Stop all jobs on devices."""
        self._stopping.set()
        for stop in tuple(self._to_stop):
            try:
                stop()
            except BenchError as error:
                self.event("lost", device="", cell="", reason=error.message)

    def spent(self, step: Step, seconds: float) -> None:
        """Add wall time of a step."""
        with self._lock:
            self.wall_s[step] += seconds

    def event(self, name: str, **values: object) -> None:
        """Write to the run's events (without `log` and results), and notify the observer."""
        if name != "log":
            self._run.event(name, **{k: v for k, v in values.items() if k != "result"})
        try:
            self._on_event(name, **values)
        except RunEnds:
            raise
        except Exception as error:  # who watches costs no cell its result
            if isinstance(error, OSError) and (error.errno or errno.EPIPE) in GONE:
                self._on_event = ignore  # nobody watches any more
                return
            report = bug_report(error, f"the event handler of {name}")
            path = self.logs / "bug-watching.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(report.text, encoding="utf-8")

    def device(self, device: RunDevice) -> None:
        """Replace the record of a device."""
        self._run.write_device(device)

    def skip(self, skipped: Skipped, *, emulated: bool) -> None:
        """Record a cell that the plan skips."""
        at = now()
        self.result(
            CellResult(
                run_id=self._run_id,
                cell=skipped.cell,
                status="skipped",
                verdict=None,
                reasons=(skipped.reason,),
                started_at=at,
                finished_at=at,
                failure=Failure("plan", skipped.reason),
                emulated=emulated,
            )
        )

    def result(self, result: CellResult) -> None:
        """Record the result of a cell, synced to disk on return."""
        self._run.add(result)
        self.finished.add(result.cell.id)
        self.event("cell", cell=result.cell.id, status=result.status, result=result)

    def provisional(self, result: CellResult) -> None:
        """Record a provisional result, later replaced by the final one."""
        self._run.add_provisional(result)
        self.event("provisional", cell=result.cell.id, result=result)

    def keep(self, cell: Cell, files: dict[str, Path | None]) -> None:
        """Copy the cell's cached files into its folder, so that the run is self-contained."""
        folder = self._run.cell_folder(cell)
        for name, path in files.items():
            if path is not None and not (folder / name).exists():
                copy_file(path, folder / name)

    def bug(self, cell: Cell, text: str) -> Path:
        """Keep the report of an unexpected exception in the cell's folder; the file."""
        path = self._run.cell_folder(cell) / "bug.txt"
        path.write_text(text, encoding="utf-8")
        return path
