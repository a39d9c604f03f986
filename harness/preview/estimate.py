"""Estimates how long a run will take: from the project's earlier runs, or by a rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..records import Cell, DeviceSpec
from ..runner import patterns
from ..runner.job import MeasureOptions
from ..runner.patterns.spec import capped
from ..scenario.model import Model
from .history import History
from .tasks import Kind, tasks_of

#: so many images are built, and so many jobs run, side by side
BUILDS, JOBS = 3, 2
#: seconds of what has no earlier run
RULE_S: Final[dict[Kind, float]] = {
    "image": 180.0,
    "reference": 30.0,
    "convert": 30.0,
    "check": 30.0,
}
#: a cell's checks on its device: found in the cache on this machine, run on another one
CHECK_LOCAL_S, CHECK_REMOTE_S = 0.5, 60.0
#: start of a process, its idle reading and the stages, beside warm-up and timed loop
TRIAL_OVERHEAD_S: Final = 4.0


@dataclass(frozen=True)
class Expected:
    """Seconds of everything that a run has left to do."""

    #: name of a task -> seconds; images and jobs run beside each other
    images: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, float] = field(default_factory=dict)
    #: cell id -> seconds of its checks, and of one trial
    checks: dict[str, float] = field(default_factory=dict)
    trial: dict[str, float] = field(default_factory=dict)
    trials: int = 1
    #: device -> ids of its cells, and which devices are this machine
    devices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    local: frozenset[str] = frozenset()
    #: how many of the cells have been measured before
    learnt: int = 0
    #: how many tasks have no earlier run to go by
    by_rule: int = 0
    #: one trial by the rule, for the sentence that states it
    rule_trial_s: float = 0.0

    @property
    def preparation_s(self) -> float:
        """Images are built in parallel, and so are jobs; most jobs wait for their image."""
        return side_by_side(self.images.values(), BUILDS) + side_by_side(self.jobs.values(), JOBS)

    def device_s(self, device: str) -> float:
        """Checks and trials of all cells of a device."""
        cells = self.devices.get(device, ())
        return sum(self.checks[cell] + self.trials * self.trial[cell] for cell in cells)

    @property
    def total_s(self) -> float:
        """Remote devices are measured in parallel, then this machine."""
        remote = [self.device_s(name) for name in self.devices if name not in self.local]
        own = sum(self.device_s(name) for name in self.devices if name in self.local)
        return self.preparation_s + max(remote, default=0.0) + own


def side_by_side(seconds: Collection[float], workers: int) -> float:
    """How long `workers` take, at least as long as the longest task."""
    return max(sum(seconds) / workers, max(seconds, default=0.0))


def expect(
    cells: Sequence[Cell],
    devices: Mapping[str, DeviceSpec],
    models: Mapping[str, Model],
    options: MeasureOptions,
    trials: int,
    profile: str,
    history: History,
    cached: Collection[str] = (),
) -> Expected:
    """The estimate for `cells`, without the tasks named in `cached`."""
    todo = [task for task in tasks_of(cells, devices, models) if task.name not in cached]
    spent = {task.name: history.tasks.get(task.name, RULE_S[task.kind]) for task in todo}
    images = {task.name for task in todo if task.kind == "image"}
    rule_s = rule_trial_s(options)
    local = frozenset(name for name, spec in devices.items() if spec.transport == "local")
    checks: dict[str, float] = {}
    trial: dict[str, float] = {}
    own: dict[str, list[str]] = {}
    for cell in cells:
        key = cell.id, profile
        rule = CHECK_LOCAL_S if cell.device in local else CHECK_REMOTE_S
        checks[cell.id] = history.checks.get(key, rule)
        trial[cell.id] = history.trials.get(key, rule_s)
        own.setdefault(cell.device, []).append(cell.id)
    return Expected(
        images={name: s for name, s in spent.items() if name in images},
        jobs={name: s for name, s in spent.items() if name not in images},
        checks=checks,
        trial=trial,
        trials=trials,
        devices={name: tuple(ids) for name, ids in own.items()},
        local=local,
        learnt=sum((cell.id, profile) in history.trials for cell in cells),
        by_rule=sum(task.name not in history.tasks for task in todo),
        rule_trial_s=rule_s,
    )


def rule_trial_s(options: MeasureOptions) -> float:
    """One trial of a fast model without waiting."""
    paced = patterns.find(options.pattern).SPEC.longest_s is not capped
    loop_s = patterns.longest_loop_s(options) if paced else options.min_s
    return TRIAL_OVERHEAD_S + options.warmup_min_s + loop_s
