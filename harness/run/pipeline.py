"""A run from its plan to its results; the only place that knows the order of the steps.

A failure of a cell is a result; only BenchError is caught. Whatever ends the run, what was
measured stays in its folder.
"""

from __future__ import annotations

import datetime
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from .. import __version__
from ..analysis.verdict import broken_gates
from ..cache import digest
from ..containers import ContainerEngine
from ..errors import BenchError
from ..payload import payload
from ..records import DeviceSpec, Plan, RunInfo
from ..runner.job import TRIALS
from ..scenario.config import Model, Scenario, rules
from ..store import Run, RunFolder, read_run
from ..targets.target import LocalSite
from .device_worker import Lane, Rules
from .prepare import PARITY_IMAGES, Preparation, Settings
from .recorder import Ledger, Work, now
from .worker_pool import Farm, never_lost

OnEvent = Callable[..., None]
#: profile smoke shows that a cell runs, and is never a number
SMOKE_IMAGES, SMOKE_RUNS = 4, 1


@dataclass(frozen=True)
class Request:
    """All that a run needs, read and checked."""

    scenario: Scenario
    plan: Plan
    models: dict[str, Model]
    devices: dict[str, DeviceSpec]
    engine: ContainerEngine
    cache: Path
    folder: Path
    command: str
    profile_layers: bool = True


def new_run_id(scenario: str) -> str:
    """Sorts by time: `20261122T104300-rio`."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S") + f"-{scenario}"


def plan_key(scenario: Scenario, plan: Plan) -> str:
    """What a resumed run must have in common with the interrupted one."""
    return digest(scenario.file.model_dump(mode="json"), plan)


def resumable(runs: Path, key: str) -> Path | None:
    """The newest unfinished run of the same plan."""
    for path in sorted(runs.glob("*/run.json"), reverse=True):
        try:
            info = read_run(path.parent).info
        except BenchError:
            continue
        if info.plan_sha256 == key and info.finished_at is None:
            return path.parent
    return None


def execute(request: Request, on: OnEvent) -> Run:
    """Run every cell that has no result yet, then say which gates broke."""
    run = _Execution(request, on)
    try:
        run.skip()
        run.make()
        run.measure()
        return run.finish()
    finally:
        run.close()


class _Execution:
    """The state of one run: what each cell has, and what is still to do."""

    def __init__(self, request: Request, on: OnEvent) -> None:
        self._request = request
        self._began = time.monotonic()
        file = request.scenario.file
        self._store, self._info, done = self._open()
        self._ledger = Ledger(self._store, self._info, request.devices, on)
        self._works = [Work(cell) for cell in request.plan.cells if cell.id not in done]
        self._skipped = [s for s in request.plan.skipped if s.cell.id not in done]
        self._rules = Rules(
            options=rules(file.measure),
            trials=file.measure.trials or TRIALS[file.measure.profile],
            seed=file.measure.seed,
            memory_bytes=file.measure.memory_mb * 10**6,
        )
        smoke = file.measure.profile == "smoke"
        images, runs = (SMOKE_IMAGES, SMOKE_RUNS) if smoke else (PARITY_IMAGES, PARITY_IMAGES)
        settings = Settings(
            cache=request.cache,
            memory_bytes=self._rules.memory_bytes,
            timeout_s=file.measure.timeout_s,
            dataset=file.accuracy.dataset if file.accuracy else None,
            accuracy_images=file.accuracy.images if file.accuracy else None,
            parity_images=images,
            profile_runs=runs if request.profile_layers else 0,
        )
        logs = request.folder / "logs"
        self._preparation = Preparation(
            request.engine, request.models, settings, logs, self._ledger.tell
        )
        self._farm = Farm(request.engine, request.cache, logs, self._info.run_id, self._ledger)

    def skip(self) -> None:
        """Write the holes first: they cost nothing and are never lost."""
        for skipped in self._skipped:
            self._ledger.skip(skipped)

    def make(self) -> None:
        """Build and convert everything, on this machine, before anything is timed."""
        for work in self._works:
            try:
                self._preparation.make(work.cell, work.got)
            except BenchError as error:
                self._ledger.keep(work)
                self._ledger.fail(work, error)

    def measure(self) -> None:
        """Devices side by side; this machine is measured when nothing else keeps it busy."""
        for name, spec in self._request.devices.items():
            works = [w for w in self._works if w.cell.device == name and not w.over]
            if works and spec.transport != "local":
                self._farm.start(spec, works, self._rules, self._preparation)
        local = [s for s in self._request.devices.values() if s.transport == "local"]
        lanes = [lane for spec in local if (lane := self._local(spec))]
        for lane in lanes:
            lane.check()
        self._farm.wait()
        for lane in lanes:
            lane.measure()

    def finish(self) -> Run:
        """Mark the run finished and check the gates."""
        run = read_run(self._request.folder)
        broken = broken_gates(run, self._request.scenario)
        self._info = replace(self._info, finished_at=now(), broken_gates=tuple(broken))
        self._write_info()
        return read_run(self._request.folder)

    def close(self) -> None:
        """End what still runs, keep the account of the wall time."""
        self._farm.stop()
        self._request.engine.close()
        if self._info.finished_at is None:
            self._write_info()

    def _local(self, spec: DeviceSpec) -> Lane | None:
        local = [w for w in self._works if w.cell.device == spec.name and not w.over]
        if not local:
            return None
        site = LocalSite(spec, self._preparation.place)
        return Lane(site, local, self._rules, self._preparation, self._ledger, never_lost, Event())

    def _open(self) -> tuple[RunFolder, RunInfo, set[str]]:
        request, file = self._request, self._request.scenario.file
        if (request.folder / "run.json").is_file():
            run = read_run(request.folder)
            return RunFolder(request.folder), run.info, {r.cell.id for r in run.results}
        info = RunInfo(
            run_id=request.folder.name,
            scenario=file.name,
            profile=file.measure.profile,
            started_at=now(),
            harness_version=__version__,
            harness_sha256=payload().sha256,
            git=git_state(Path(__file__).parent),
            engine=request.engine.name,
            plan_sha256=plan_key(request.scenario, request.plan),
            command=request.command,
            dataset=file.accuracy.dataset if file.accuracy else "",
            notes=request.plan.notes,
            gates={k: v for k, v in file.gates.model_dump().items() if v is not None},
            host=platform.node(),
        )
        text = request.scenario.source.path.read_text(encoding="utf-8")
        return RunFolder.create(request.folder, info, request.plan, text), info, set()

    def _write_info(self) -> None:
        measured = sum(w.got.wall_s.get("measure", 0.0) for w in self._works)
        spent = {**self._preparation.wall_s, "measure": measured}
        spent["other"] = max(0.0, time.monotonic() - self._began - sum(spent.values()))
        before = self._info.wall_s
        total = {k: before.get(k, 0.0) + spent.get(k, 0.0) for k in {**before, **spent}}
        self._store.write_info(replace(self._info, wall_s=total))


def git_state(folder: Path) -> str:
    """`<commit>` or `<commit>-dirty` of the checkout that holds `folder`; empty outside of one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
