"""Runs one job of the runner inside a format's image and reads its answer.

The job's folder is all that it can write. A job without `result.json` did not finish.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ..containers import CompletedJob, JobSpec, Mount, OnLine
from ..errors import StepFailed
from ..formats import REGISTRY
from ..payload import payload
from ..printable import printable
from ..records import Image
from ..runner.job import Job
from ..runner.threads import allowed
from ..serial import Malformed, dumps, loads

Result = TypeVar("Result")

#: what runtimes may thread with
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
#: numpy's own threads, in pre- and postprocessing: they spin, and take the runtime's CPUs from it
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
#: a waiting thread sleeps and does not spin: where others work beside it, as they do while devices
#: are measured, PyTorch on all CPUs is several times faster so. What is timed keeps its defaults
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class JobLimits:
    """What a job may use."""

    cpus: tuple[int, ...]
    memory_bytes: int
    timeout_s: float


class JobRunner(Protocol):
    """What of a container engine a job needs; so has `targets.remote`."""

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob: ...

    def locate(self, mount: Mount) -> str: ...


@dataclass(frozen=True)
class Place:
    """Where jobs run: here or on a device, and a format's image in it."""

    engine: JobRunner
    image: Image
    #: a device's name and what it is; empty for this machine
    where: str = ""


def machine_cpus() -> tuple[int, ...]:
    """CPUs that this process may use."""
    return allowed()


def pinned(threads: int) -> tuple[int, ...]:
    """The CPUs of a measured job: the last ones, since the first serves most interrupts."""
    return machine_cpus()[-threads:]


def run_job(
    place: Place,
    folder: Path,
    job: Job,
    limits: JobLimits,
    answer: type[Result],
    keep: Sequence[str] = (),
) -> Result:
    """Run `job` in `folder` (an existing, empty one); its paths are this machine's.

    `keep` names files that the job must have left. Raises StepFailed with the job's last words,
    JobTimeout, OutOfMemory.
    """
    mounts = _mounts(folder, job)
    # a rootless container may have no cpuset, and nobody else limits memory on a device
    memory = limits.memory_bytes if place.where else 0
    job = dataclasses.replace(job, cpus=limits.cpus, memory_bytes=memory)
    seen = _as_seen(job, folder, {m.host: place.engine.locate(m) for m in mounts})
    (folder / "job.json").write_text(dumps(seen, indent=1), encoding="utf-8")
    log = folder / "log.txt"
    home = Mount(payload().folder, "/bench")
    spec = JobSpec(
        argv=("-m", _runner(job), place.engine.locate(mounts[0])),
        log=log,
        mounts=(home, *mounts),
        cpus=limits.cpus,
        memory_bytes=limits.memory_bytes,
        timeout_s=limits.timeout_s,
        env={
            "PYTHONPATH": place.engine.locate(home),
            **{name: str(job.threads) for name in THREAD_VARIABLES},
            **ONE_THREAD,
            **({} if _is_timed(job) else PATIENT),
        },
    )
    done = place.engine.run(place.image, spec)
    if done.exit_code:
        raise StepFailed(last_words(done.output, done.exit_code), f"All that it printed: {log}")
    missing = [name for name in ("result.json", *keep) if not (folder / name).exists()]
    if missing:
        raise StepFailed(f"the job left no {missing[0]}", f"All that it printed: {log}")
    try:
        return loads(answer, (folder / "result.json").read_bytes(), "result.json")
    except Malformed as error:
        raise StepFailed(f"{job.mode} job: {error}", f"See {folder}") from None


def last_words(output: str, exit_code: int) -> str:
    """The line of a job's output that says most: its last exception, else its last line."""
    lines = [line.strip() for line in printable(output).splitlines() if line.strip()]
    said = lines[-1] if lines else "it printed nothing"
    for line in reversed(lines):
        kind = line.split(":", 1)[0]
        if (
            ": " in line
            and kind.replace(".", "").isidentifier()
            and kind.endswith(("Error", "Exception"))
        ):
            said = line
            break
    return f"exit code {exit_code}: {said[:400]}"


def _mounts(folder: Path, job: Job) -> list[Mount]:
    """The model's own code is there only for a job that reads it."""
    mounts = [Mount(folder.resolve(), "/job", writable=True)]
    source, artifact = Path(job.source).resolve(), Path(job.artifact).resolve()
    if _reads_source(job):
        mounts.append(Mount(source, "/model"))
    if job.mode != "convert" and not (_reads_source(job) and artifact.is_relative_to(source)):
        mounts.append(Mount(artifact.parent, "/artifact"))
    if job.pack:
        mounts.append(Mount(Path(job.pack).resolve(), "/pack"))
    return mounts


def _is_timed(job: Job) -> bool:
    """Profile smoke only shows that a cell runs."""
    smoke = job.measure is not None and job.measure.min_s == 0
    return job.mode == "profile" or (job.mode == "trial" and not smoke)


def _runner(job: Job) -> str:
    return "harness.runner" if job.mode == "convert" else REGISTRY[job.format].SPEC.runner


def _reads_source(job: Job) -> bool:
    return job.mode == "convert" or REGISTRY[job.format].SPEC.needs_source


def _as_seen(job: Job, folder: Path, seen: dict[Path, str]) -> Job:
    """The job with its paths as they are inside."""

    def inside(path: str) -> str:
        real = Path(path).resolve()
        for host in sorted(seen, key=lambda h: len(h.parts), reverse=True):
            if real == host or real.is_relative_to(host):
                return str(Path(seen[host]) / real.relative_to(host))
        raise ValueError(f"{path} is under no mount")

    return dataclasses.replace(
        job,
        source=inside(job.source) if _reads_source(job) else "",
        artifact=inside(job.artifact),
        pack=inside(job.pack) if job.pack else "",
    )
