"""One device's share of a run: its cells are checked there, then measured, trials interleaved.

A lost device is tried once more when it is back; three losses in a row set it aside. A failure of
a cell is a result, and the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import BenchError, DeviceLost, StepFailed
from ..records import Trial
from ..runner.job import MeasureOptions
from ..steps import measure
from ..steps.jobs import Limits
from ..targets.target import Site, record
from .monitored_trial import Attention, attended, quiet_s
from .prepare import Preparation
from .recorder import Ledger, Work

#: so many losses in a row set a device aside
MOST_LOSSES = 3


@dataclass(frozen=True)
class Rules:
    """How the cells of a run are measured."""

    options: MeasureOptions
    trials: int
    seed: int
    memory_bytes: int


class Stopped(Exception):
    """The run is being ended; nothing is written for what was in hand."""


class Lane:
    """Runs `works` on `site`; `came_back` waits for a lost device or raises DeviceLost."""

    def __init__(
        self,
        site: Site,
        works: Sequence[Work],
        rules: Rules,
        preparation: Preparation,
        ledger: Ledger,
        came_back: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self._site, self._works, self._rules = site, works, rules
        self._preparation, self._ledger = preparation, ledger
        self._came_back, self._stop = came_back, stop
        self._losses = 0
        self._held: tuple[str, ...] = ()

    def check(self) -> None:
        """Runtime, parity and accuracy of every cell on its device."""
        self._record()
        for work in self._works:
            if not work.over:
                self._attempt(work, lambda work=work: self._check(work))  # type: ignore[misc]

    def measure(self) -> None:
        """Every cell once a round; a cell is finished with its last trial."""
        todo = {work.cell: work for work in self._works if not work.over}
        order = measure.schedule(list(todo), self._rules.trials, self._rules.seed)
        for position, (cell, index) in enumerate(order):
            if todo[cell].over:
                continue
            following = order[position + 1][0].id if position + 1 < len(order) else ""
            place = {"position": position, "total": len(order), "next": following}
            self._ledger.tell("trial", cell=cell.id, index=index, of=self._rules.trials, **place)
            self._attempt(todo[cell], lambda: self._measure(todo[cell], index))  # noqa: B023

    def _check(self, work: Work) -> None:
        try:
            self._preparation.check(work.cell, work.got, self._site)
        finally:
            self._ledger.keep(work)

    def _measure(self, work: Work, index: int) -> None:
        work.got.at = "measure"
        work.trials.append(self._trial(work, index))
        if len(work.trials) == self._rules.trials:
            self._ledger.succeed(work)

    def _trial(self, work: Work, index: int) -> Trial:
        got, cell = work.got, work.cell
        assert got.what
        assert got.pictures
        what, few, run = got.what, got.pictures.few, self._ledger.folder
        known = measure.finished_trial(
            run, cell, index, measure.made_of(what, few, self._rules.options)
        )
        if known:
            return known
        own = self._site.spec.memory_mb
        limits = Limits(
            self._site.cpus(cell.threads),
            own * 10**6 if own else self._rules.memory_bytes,
            measure.deadline_s(self._rules.options, self._site.spec.emulated),
        )
        began = time.monotonic()
        how = Attention(
            self._site,
            self._ledger.folder,
            limits.cpus,
            limits.timeout_s,
            quiet_s(self._rules.options),
            lambda reason: self._ledger.tell("wait", device=self._site.spec.name, reason=reason),
        )
        try:
            trial, self._held = attended(
                how,
                lambda: measure.run_trial(run, cell, index, what, few, self._rules.options, limits),
            )
            self._record()
            return measure.keep_trial(run, trial)
        finally:
            spent = time.monotonic() - began
            got.wall_s["measure"] = got.wall_s.get("measure", 0.0) + spent

    def _attempt(self, work: Work, do: Callable[[], None]) -> None:
        """Once, and once more after a loss; what fails is the cell's result."""
        if self._losses >= MOST_LOSSES:
            self._ledger.fail(work, self._set_aside())
            return
        for last in (False, True):
            if self._stop.is_set():
                raise Stopped
            try:
                do()
                self._losses = 0
                return
            except DeviceLost as error:
                self._lost(work, error)
                if last or not self._is_back():
                    self._ledger.fail(work, error)
                    return
            except BenchError as error:
                if self._stop.is_set():
                    raise Stopped from error
                self._ledger.fail(work, error)
                return

    def _lost(self, work: Work, error: DeviceLost) -> None:
        if self._stop.is_set():
            raise Stopped from error
        self._losses += 1
        self._last = error
        device = self._site.spec.name
        self._ledger.tell("lost", device=device, cell=work.cell.id, reason=error.message)

    def _is_back(self) -> bool:
        if self._losses >= MOST_LOSSES:
            return False
        try:
            self._came_back()
        except BenchError:
            self._losses += 1
            return False
        return True

    def _record(self, set_aside: str = "") -> None:
        self._ledger.device(record(self._site, self._held, set_aside))

    def _set_aside(self) -> StepFailed:
        name = self._site.spec.name
        reason = (
            f"{name} was set aside: it was lost {MOST_LOSSES} times in a row; the last time: "
            f"{self._last.message}"
        )
        self._record(reason)
        return StepFailed(
            reason,
            f"`bench devices check {name}` says what is wrong with it; then --resume.",
        )
