"""A run from its plan to its results: the order of the run; `cell` has the order of a cell.

However the run ends, its results so far stay in its folder.
"""

from __future__ import annotations

import datetime
import platform
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path

from .. import __version__
from ..analysis.verdict import broken_gates
from ..cache import digest, waiting
from ..containers import ContainerEngine
from ..errors import BenchError, StepFailed
from ..payload import payload
from ..records import DeviceSpec, Plan, RunInfo
from ..scenario.model import Model
from ..scenario.scenario import Scenario
from ..steps.jobs import OUT
from ..store import Run, RunFolder, read_run, sole_writer
from ..untrusted import files
from .device_worker import run_device
from .job import RunRules
from .prepare import PARITY_IMAGES, Preparation
from .recorder import OnEvent, Recorder, ignore, now
from .worker_pool import WorkerPool

#: profile smoke shows that a cell runs, and is never a number
SMOKE_IMAGES, SMOKE_RUNS = 4, 1


@dataclass(frozen=True)
class RunRequest:
    """Everything that a run needs, read and checked."""

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


def new_folder(runs: Path, scenario: str) -> Path:
    """Of a run that starts now; another one in the same second gets another name."""
    name = new_run_id(scenario)
    names = (f"{name}-{number}" if number > 1 else name for number in count(1))
    return next(folder for folder in map(runs.joinpath, names) if not folder.exists())


def plan_key(scenario: Scenario, plan: Plan) -> str:
    """Equal for an interrupted run and the run that resumes it."""
    asked = {field.name: getattr(scenario, field.name) for field in fields(scenario)}
    del asked["source"]
    return digest(asked, plan)


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


def execute(request: RunRequest, on_event: OnEvent = ignore) -> Run:
    """Give every cell without a result one; then check the gates.

    Preparation on this machine comes first, then all remote devices in parallel, then this
    machine's own cells, when it is otherwise idle. A cell's steps are in `cell.cell_steps`. Raises
    Locked if another process writes this run.
    """
    with closing(request.engine), sole_writer(request.folder):
        return _execute(request, on_event)


def _execute(request: RunRequest, on_event: OnEvent) -> Run:
    began = time.monotonic()
    store, info, done = _open(request)
    recorder = Recorder(store, info.run_id, request.cache, request.engine, on_event)
    pool = WorkerPool(recorder)
    try:
        with waiting(lambda line: recorder.event("log", line=line)):
            _measure(request, recorder, pool, info, done)
        broken = tuple(broken_gates(read_run(request.folder), info.gates))
        info = replace(info, finished_at=now(), broken_gates=broken)
    finally:
        pool.stop()
        request.engine.close()  # jobs that still run write nothing more
        store.write_info(_with_wall_time(info, recorder, time.monotonic() - began))
    return read_run(request.folder)


def _measure(
    request: RunRequest, recorder: Recorder, pool: WorkerPool, info: RunInfo, done: set[str]
) -> None:
    for skipped in request.plan.skipped:
        if skipped.cell.id not in done:
            emulated = request.devices[skipped.cell.device].emulated
            recorder.skip(skipped, emulated=emulated)
    todo = [cell for cell in request.plan.cells if cell.id not in done]
    preparation = _preparation(request, recorder, info)
    preparation.start(todo, request.devices)
    local = []
    for device in _remote_first(request.devices):
        job = preparation.device_job(device, [c for c in todo if c.device == device.name])
        if job and device.transport != "local":
            pool.start(job)
        elif job:
            local.append(job)
    pool.wait()
    for job in local:
        run_device(job, recorder)


def _remote_first(devices: dict[str, DeviceSpec]) -> list[DeviceSpec]:
    return sorted(devices.values(), key=lambda device: device.transport == "local")


def _preparation(request: RunRequest, recorder: Recorder, info: RunInfo) -> Preparation:
    measuring, accuracy = request.scenario.measuring, request.scenario.accuracy
    smoke = measuring.profile == "smoke"
    images, runs = (SMOKE_IMAGES, SMOKE_RUNS) if smoke else (PARITY_IMAGES, PARITY_IMAGES)
    settings = RunRules(
        options=measuring.options,
        trials=measuring.trials,
        seed=measuring.seed,
        memory_bytes=measuring.memory_bytes,
        timeout_s=measuring.timeout_s,
        parity_images=images,
        profile_runs=runs if request.profile_layers else 0,
    )
    return Preparation(request.models, settings, accuracy, recorder, info.run_id, info.profile)


def _open(request: RunRequest) -> tuple[RunFolder, RunInfo, set[str]]:
    """The run's folder, new or of an interrupted run, and the ids of cells with a result."""
    if (request.folder / "run.json").is_file():
        _check_files(request.folder)
        run = read_run(request.folder)
        return RunFolder(request.folder), run.info, {r.cell.id for r in run.results}
    scenario = request.scenario
    info = RunInfo(
        run_id=request.folder.name,
        scenario=scenario.name,
        profile=scenario.measuring.profile,
        started_at=now(),
        harness_version=__version__,
        harness_sha256=payload().sha256,
        git=git_state(Path(__file__).parent),
        engine=request.engine.name,
        plan_sha256=plan_key(scenario, request.plan),
        command=request.command,
        dataset=scenario.accuracy.dataset if scenario.accuracy else "",
        notes=request.plan.notes,
        gates=dict(scenario.gates),
        host=platform.node(),
        confinement=request.engine.confinement,
    )
    text = scenario.source.path.read_text(encoding="utf-8")
    return RunFolder.create(request.folder, info, request.plan, text), info, set()


def _check_files(folder: Path) -> None:
    """Check the files of an interrupted run before writing to them: none may lead elsewhere.

    Except those of a killed job, which are removed without being opened.
    """
    try:
        files.check(folder.resolve(), but=OUT)
    except StepFailed as error:
        raise BenchError(error.message, "Remove it, then continue with --resume.") from None


def _with_wall_time(info: RunInfo, recorder: Recorder, elapsed_s: float) -> RunInfo:
    """Wall time per step, including that of the interrupted run."""
    spent = dict(recorder.wall_s)
    spent["other"] = max(0.0, elapsed_s - sum(spent.values()))
    before = info.wall_s
    total = {k: before.get(k, 0.0) + spent.get(k, 0.0) for k in {**before, **spent}}
    return replace(info, wall_s=total)


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
