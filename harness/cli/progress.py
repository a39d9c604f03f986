"""Tracks a run from its events: what runs now, what is next, time left. Pure.

`log_lines` formats the events for a file; `live_view` draws the current state on a terminal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..preview.estimate import BUILDS, JOBS, Expected, side_by_side
from ..records import Cell

Clock = Callable[[], float]
#: after so many trials of a device its own pace says more than earlier runs do
PACE_TRIALS = 3
#: a device that waits says so again after so many seconds
WAIT_S = 60.0

Happening = Literal[
    "task begins", "task ends", "checks begin", "checks end", "step begins", "step ends",
    "trial begins", "trial ends", "waits", "lost", "result", "pages", "log",
]  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """What an event means; `name` is a task or a cell's id."""

    what: Happening
    name: str = ""
    device: str = ""
    seconds: float = 0.0
    #: an outcome, a step, a reason or a line of a log
    detail: str = ""


@dataclass
class DeviceProgress:
    """One device's share."""

    cells: int
    phase: Literal["waiting", "checks", "trials"] = "waiting"
    cell: str = ""
    step: str = ""
    #: when the present cell's checks, or the present trial, began
    began: float = 0.0
    #: ids of cells whose checks have begun
    checked: set[str] = field(default_factory=set)
    #: the present trial: its number in its cell and on the device, and the cell that follows
    index: int = 0
    of: int = 0
    position: int = 0
    total: int = 0
    next: str = ""
    trials_done: int = 0
    trials_began: float = 0.0
    waits_for: str = ""
    waited_at: float = -WAIT_S
    #: ids of cells with a result
    over: set[str] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        """Each of its cells has a result."""
        return len(self.over) >= self.cells

    @property
    def to_check(self) -> int:
        """Cells to check: those whose preparation did not fail."""
        return self.cells - len(self.over - self.checked)


class Progress:
    """The state of a run according to its events."""

    def __init__(
        self, cells: Sequence[Cell], expected: Expected, clock: Clock = time.monotonic
    ) -> None:
        self.cells = {cell.id: cell for cell in cells}
        self.expected, self.clock, self.began = expected, clock, clock()
        self.running: dict[str, float] = {}
        self.ended: set[str] = set()
        self.ended_count, self.task_count = 0, 0
        self.last_log = ""
        self.results: Counter[str] = Counter()
        counts = Counter(cell.device for cell in cells)
        self.devices = {name: DeviceProgress(count) for name, count in counts.items()}

    def add(self, event: str, values: Mapping[str, Any]) -> list[Moment]:
        """Count one event of the run; what it means. Unknown events are ignored."""
        handler = getattr(self, f"_on_{event}", None)
        return handler(**values) if handler else []

    def device_of(self, cell: str) -> DeviceProgress | None:
        """None for a cell that is not to be run."""
        known = self.cells.get(cell)
        return self.devices[known.device] if known else None

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.began

    @property
    def done(self) -> int:
        """Cells with a result."""
        return sum(len(device.over) for device in self.devices.values())

    def left_s(self) -> float:
        """Preparation, then remote devices in parallel, then this machine."""
        lanes = {name: self._device_left_s(name) for name in self.devices}
        remote = [s for name, s in lanes.items() if name not in self.expected.local]
        own = sum(s for name, s in lanes.items() if name in self.expected.local)
        return self._preparation_left_s() + max(remote, default=0.0) + own

    def _preparation_left_s(self) -> float:
        if self.ended_count >= self.task_count > 0:
            return 0.0
        left = (
            [self._task_left_s(n, s) for n, s in seconds.items() if n not in self.ended]
            for seconds in (self.expected.images, self.expected.jobs)
        )
        return sum(
            side_by_side(s, workers) for s, workers in zip(left, (BUILDS, JOBS), strict=True)
        )

    def _task_left_s(self, name: str, seconds: float) -> float:
        began = self.running.get(name)
        return seconds if began is None else max(0.0, seconds - (self.clock() - began))

    def _device_left_s(self, name: str) -> float:
        device, now = self.devices[name], self.clock()
        if device.phase == "trials" and device.trials_done >= PACE_TRIALS:
            each_s = (device.began - device.trials_began) / device.trials_done
            left_s = each_s * (device.total - device.trials_done)
            return max(0.0, left_s - (now - device.began))
        todo = [c for c in self.expected.devices.get(name, ()) if c not in device.over]
        trials_s = sum(self.expected.trial[cell] for cell in todo) * self.expected.trials
        if device.phase == "trials":
            return max(0.0, trials_s - (now - device.trials_began))
        checks_s = sum(self.expected.checks[cell] for cell in todo if cell not in device.checked)
        return trials_s + checks_s

    def _on_task(self, step: str, task: str) -> list[Moment]:
        self.running[task] = self.clock()
        return [Moment("task begins", task)]

    def _on_task_end(
        self, step: str, task: str, seconds: float, outcome: str, n: int, of: int
    ) -> list[Moment]:
        self.running.pop(task, None)
        self.ended.add(task)
        self.ended_count, self.task_count = max(n, self.ended_count), of
        self.last_log = ""
        return [Moment("task ends", task, seconds=seconds, detail=outcome)]

    def _on_log(self, line: str) -> list[Moment]:
        self.last_log = line.strip()
        return [Moment("log", detail=self.last_log)] if self.last_log else []

    def _on_step(self, cell: str, step: str) -> list[Moment]:
        device = self.device_of(cell)
        if device is None:
            return []
        device.step, device.waits_for = step, ""
        begins = Moment("step begins", cell, detail=step)
        if cell in device.checked:
            return [begins]
        ended = self._end_checks(device)
        device.phase, device.cell, device.began = "checks", cell, self.clock()
        device.checked.add(cell)
        return [*ended, Moment("checks begin", cell, self.cells[cell].device), begins]

    def _on_step_end(self, cell: str, step: str, seconds: float) -> list[Moment]:
        return [Moment("step ends", cell, seconds=seconds, detail=step)]

    def _on_trial(
        self, cell: str, index: int, of: int, position: int, total: int, next: str
    ) -> list[Moment]:
        device = self.device_of(cell)
        if device is None:
            return []
        ended = self._end_checks(device)
        if device.phase != "trials":
            device.phase, device.trials_began = "trials", self.clock()
        device.cell, device.began, device.waits_for = cell, self.clock(), ""
        device.index, device.of, device.position, device.total = index, of, position, total
        device.next, device.trials_done = next, position
        return [*ended, Moment("trial begins", cell, self.cells[cell].device)]

    def _on_trial_end(
        self, cell: str, index: int, seconds: float, position: int, total: int, next: str
    ) -> list[Moment]:
        device = self.device_of(cell)
        if device is None:
            return []
        device.trials_done, device.began, device.waits_for = position + 1, self.clock(), ""
        if cell in device.over:  # its result has been said
            return []
        return [Moment("trial ends", cell, self.cells[cell].device, seconds)]

    def _on_wait(self, device: str, reason: str) -> list[Moment]:
        known = self.devices.get(device)
        if known is None:
            return []
        again = bool(known.waits_for) and self.clock() - known.waited_at < WAIT_S
        known.waits_for = reason
        if again:
            return []
        known.waited_at = self.clock()
        return [Moment("waits", known.cell, device, detail=reason)]

    def _on_lost(self, device: str, cell: str, reason: str) -> list[Moment]:
        return [Moment("lost", cell, device, detail=reason)]

    def _on_report(self, page: str) -> list[Moment]:
        return [Moment("pages", detail=page)]

    def _on_cell(self, cell: str, status: str, result: object = None) -> list[Moment]:
        device = self.device_of(cell)
        if device is None or cell in device.over:
            return []
        ended = self._end_checks(device) if device.cell == cell else []
        device.over.add(cell)
        self.results[status] += 1
        return [*ended, Moment("result", cell, self.cells[cell].device, detail=status)]

    def _end_checks(self, device: DeviceProgress) -> list[Moment]:
        """End the checks of the current cell, if any."""
        if device.phase != "checks" or not device.cell:
            return []
        cell, device.cell = device.cell, ""
        seconds = self.clock() - device.began
        return [Moment("checks end", cell, self.cells[cell].device, seconds)]
