"""Runs a job of the runner in a format's image and takes over what it wrote.

A job can write only to a separate folder below its job's folder. The wanted files are copied from
there when it has ended, and checked; the rest is removed. Bench itself writes only the job there. A
job without `result.json` did not finish.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from ..containers import CompletedJob, JobSpec, Mount, OnLine
from ..errors import StepFailed
from ..formats import REGISTRY
from ..payload import payload
from ..printable import printable
from ..records import Image
from ..runner.job import Job
from ..runner.loadgen import LOGS
from ..runner.threads import allowed
from ..serial import dumps
from ..untrusted import files, text
from ..untrusted.budget import Budget, Leaf
from ..untrusted.removal import remove
from ..untrusted.takeover import take_over

Result = TypeVar("Result")

#: the part of a job's folder that the job writes to
OUT: Final = "out"
ANSWER: Final = Leaf("result.json", Budget(text.RECORD_BYTES))
#: files that a job may leave in addition to its answer and its outputs
EXTRAS: Final = (
    Leaf("events.jsonl", Budget(16 << 20), required=False),
    Leaf(LOGS, Budget(256 << 20, files=32), required=False),
)

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


@dataclass(frozen=True)
class Output:
    """A file that a job is run for, and the check that rejects malformed ones."""

    leaf: Leaf
    check: Callable[[Path], object]


class JobRunner(Protocol):
    """The part of a container engine that a job needs; `targets.remote` has it, too."""

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
    outputs: Sequence[Output] = (),
) -> Result:
    """Run `job` in `folder` (an existing, empty one); its paths are this machine's.

    What is in `folder` afterwards has been checked. Raises StepFailed, JobTimeout, OutOfMemory.
    """
    leaves = (ANSWER, *(output.leaf for output in outputs), *EXTRAS)
    with _workplace(folder) as out:
        spec = _prepared(place, folder, job, limits, leaves)
        done = place.engine.run(place.image, spec)
        hint = f"See the log {spec.log}."
        if done.exit_code:
            raise StepFailed(last_words(done.output, done.exit_code), hint)
        try:
            take_over(leaves, out, folder)
        except StepFailed as error:
            raise StepFailed(error.message, hint) from None
    try:
        found = text.read_record(answer, folder / ANSWER.name)
        for output in outputs:
            output.check(folder / output.leaf.name)
    except StepFailed as error:
        raise StepFailed(f"{job.mode} job: {error.message}", hint) from None
    return found


def written(folder: Path, name: str) -> Path:
    """Where the job of `folder` writes its file `name`."""
    return folder / OUT / name


@contextmanager
def _workplace(folder: Path) -> Iterator[int]:
    """The folder that the job writes to, opened before it starts; always removed."""
    out = folder / OUT
    out.mkdir()
    try:
        with files.handle(out) as opened:
            yield opened
    finally:
        remove(out)


def _prepared(
    place: Place, folder: Path, job: Job, limits: JobLimits, leaves: tuple[Leaf, ...]
) -> JobSpec:
    mounts = _mounts(folder, job)
    # a rootless container may have no cpuset, and nobody else limits memory on a device
    memory = limits.memory_bytes if place.where else 0
    job = dataclasses.replace(job, cpus=limits.cpus, memory_bytes=memory)
    asked = dumps(_as_seen(job, {m.host: place.engine.locate(m) for m in mounts}), indent=1)
    for path in (folder / "job.json", written(folder, "job.json")):  # a job may damage its copy
        path.write_text(asked, encoding="utf-8")
    home = Mount(payload().folder, "/bench")
    return JobSpec(
        argv=("-m", _runner(job), place.engine.locate(mounts[0])),
        log=folder / "log.txt",
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
        leaves=leaves,
    )


def last_words(output: str, exit_code: int) -> str:
    """The most informative line of a job's output: its last exception, else its last line."""
    lines = [line.strip() for line in printable(output).splitlines() if line.strip()]
    said = lines[-1] if lines else "no output"
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
    mounts = [Mount(_absolute(folder / OUT), "/job", writable=True)]
    source, artifact = Path(job.source).resolve(), _absolute(job.artifact)
    if _reads_source(job):
        mounts.append(Mount(source, "/model"))
    if job.mode != "convert" and not (_reads_source(job) and artifact.is_relative_to(source)):
        mounts.append(Mount(artifact.parent, "/artifact"))
    for number, pack in enumerate(_packs(job)):
        mounts.append(Mount(pack, f"/pack-{number}" if number else "/pack"))
    return mounts


def _packs(job: Job) -> tuple[Path, ...]:
    """Every folder of images that the job reads, once."""
    named = [job.pack, *(one.pack for one in job.passes)]
    return tuple(dict.fromkeys(Path(pack).resolve() for pack in named if pack))


def _is_timed(job: Job) -> bool:
    """Profile smoke only shows that a cell runs."""
    smoke = job.measure is not None and job.measure.min_s == 0
    return job.mode == "profile" or (job.mode == "trial" and not smoke)


def _absolute(path: Path | str) -> Path:
    """With links resolved up to its parent; not its own, which a job may have created."""
    return Path(path).parent.resolve() / Path(path).name


def _runner(job: Job) -> str:
    return "harness.runner" if job.mode == "convert" else REGISTRY[job.format].SPEC.runner


def _reads_source(job: Job) -> bool:
    return job.mode == "convert" or REGISTRY[job.format].SPEC.needs_source


def _as_seen(job: Job, seen: dict[Path, str]) -> Job:
    """The job with its paths as they are inside."""

    def inside(real: Path) -> str:
        for host in sorted(seen, key=lambda h: len(h.parts), reverse=True):
            if real == host or real.is_relative_to(host):
                return str(Path(seen[host]) / real.relative_to(host))
        raise ValueError(f"{real} is not below any mount")

    return dataclasses.replace(
        job,
        source=inside(Path(job.source).resolve()) if _reads_source(job) else "",
        artifact=inside(_absolute(job.artifact)),
        pack=inside(Path(job.pack).resolve()) if job.pack else "",
        passes=tuple(
            dataclasses.replace(one, pack=inside(Path(one.pack).resolve())) for one in job.passes
        ),
    )
