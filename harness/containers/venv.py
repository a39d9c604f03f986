"""Jobs in virtual environments, one per image from the same lock, where no Docker daemon answers.

A job gets its CPUs, limits on its data and its files, a small environment and a deadline. If
`bubblewrap` works, it is confined; else it has the network, the file system and the user of bench
itself.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from ..errors import JobTimeout, OutOfMemory, StepFailed, UsageError
from ..records import Image
from ..untrusted.removal import remove
from ..workspace import cache_root
from . import (
    Built,
    CompletedJob,
    Confinement,
    JobSpec,
    Mount,
    OnLine,
    bubblewrap,
    disk_limit,
    platforms,
    recipe,
    seccomp,
    user,
)
from . import venv_build as making
from .output import JobOutput, follow, to_file

#: exit code of a sandbox whose job was killed
SANDBOX_KILLED: Final = 128 + signal.SIGKILL
#: if the machine runs out of memory, the kernel kills the job before bench: limits of a process do
#: not cover shared memory
FIRST_TO_GO: Final = ("choom", "-n", "1000", "--")
#: what a runtime says that may not have more memory
NO_MEMORY: Final = ("MemoryError", "std::bad_alloc", "Cannot allocate memory")


class VenvEngine:
    """Satisfies `ContainerEngine`; environments are `<cache>/venvs/<name>-<hash>`."""

    name: Literal["venv"] = "venv"

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or recipe.dockerfiles()
        self.confinement: Confinement = "none" if bubblewrap.why_not() else "bubblewrap"
        self._running: set[subprocess.Popen[bytes]] = set()

    def reference(self, name: str, platform: str | None = None) -> str:
        """The folder that `build` makes."""
        _check_platform(platform)
        digest = making.digest(recipe.find(name, self._root))
        return str(_venvs() / f"{name}-{digest.removeprefix('sha256:')[:16]}")

    def build(
        self, name: str, log: Path, on_line: OnLine | None = None, platform: str | None = None
    ) -> Image:
        """See `ContainerEngine`; two processes may build at once, the second one waits."""
        started = time.perf_counter()
        wanted = recipe.find(name, self._root)
        folder = Path(self.reference(name, platform))
        with making.alone(folder):
            cached = making.is_complete(folder)
            if not cached:
                with to_file(log, on_line) as output:
                    making.make(wanted, folder, log, output)
        seconds = time.perf_counter() - started
        digest = making.digest(wanted)
        return Image(name, self.name, str(folder), digest, cached, seconds, self.confinement)

    def make_base(self, log: Path, on_line: OnLine | None = None) -> str:
        """Always raises UsageError."""
        raise UsageError("virtual environments have no base image", "Use --engine docker.")

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        """See `ContainerEngine`."""
        started = time.perf_counter()
        late = threading.Event()
        with (
            to_file(job.log, on_line, append=True) as output,
            _temporary() as home,
            self._started(Path(image.reference), job, home) as process,
            _deadline(process, job.timeout_s, late),
            disk_limit.watched(job, lambda: _kill(process), [Path(home)]) as watch,
        ):
            exit_code = follow(process, output)
        disk_limit.check(job, watch, exit_code, output.last_lines())
        _check(job, exit_code, output, late.is_set())
        return CompletedJob(exit_code, output.text(), time.perf_counter() - started)

    def locate(self, mount: Mount) -> str:
        """The path on this machine: nothing is mounted."""
        return str(mount.host.resolve())

    def built(self) -> tuple[Built, ...]:
        """Every complete environment."""
        folders = sorted(filter(making.is_complete, _venvs().glob("*/")))
        return tuple(Built(f.name.rpartition("-")[0], str(f), _size(f)) for f in folders)

    def remove(self, built: Built) -> None:
        """Delete an environment."""
        with making.alone(Path(built.reference)):
            shutil.rmtree(built.reference)

    def sweep(self) -> int:
        """See `ContainerEngine`: environments that were never finished."""
        freed = 0
        for folder in _venvs().glob("*/"):
            with making.alone(folder):
                if not making.is_complete(folder):
                    freed += _size(folder)
                    shutil.rmtree(folder)
        return freed

    def close(self) -> None:
        """See `ContainerEngine`."""
        for process in tuple(self._running):
            _kill(process)

    @contextmanager
    def _started(self, venv: Path, job: JobSpec, home: str) -> Iterator[subprocess.Popen[bytes]]:
        process = self._start(venv.resolve(), job, home)
        self._running.add(process)
        with process:
            try:
                yield process
            finally:
                _kill(process)
                self._running.discard(process)

    def _start(self, venv: Path, job: JobSpec, home: str) -> subprocess.Popen[bytes]:
        command = [str(venv / "bin" / "python"), *job.argv]
        if self.confinement == "none":
            return _start([*_limits(job), *command], _environment(venv, home, job.env), home)
        with seccomp.opened() as calls:
            inside = bubblewrap.confined(command, venv, job.mounts, Path(home), calls)
            env = _environment(venv, "/tmp", job.env)
            return _start([*_limits(job), *inside], env, home, [calls])


def _check_platform(platform: str | None) -> None:
    """An environment has this machine's Python."""
    if platform is None:
        return
    platforms.check(platform)
    if platform != (here := platforms.of_host()):
        text = f"cannot create a virtual environment for {platform} on {here}"
        raise StepFailed(text, "Use --engine docker.")


@contextmanager
def _temporary() -> Iterator[str]:
    """A temporary folder; removed with whatever a job wrote to it."""
    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        yield folder
    finally:
        remove(Path(folder))


def _venvs() -> Path:
    return cache_root() / "venvs"


def _limits(job: JobSpec) -> list[str]:
    """Each of util-linux's tools sets its own thing and becomes the next: one process, no race."""
    pin = ["taskset", "--cpu-list", ",".join(map(str, job.cpus))] if job.cpus else []
    limit = [
        *("prlimit", f"--data={job.memory_bytes}", "--core=0"),
        f"--fsize={_allowed(resource.RLIMIT_FSIZE, disk_limit.largest_file(job))}",
        f"--nofile={_allowed(resource.RLIMIT_NOFILE, disk_limit.OPEN_FILES)}",
        f"--nproc={_allowed(resource.RLIMIT_NPROC, user.most_tasks(os.getuid() or user.USER_ID))}",
    ]
    orphan = ["setpriv", "--pdeathsig", "KILL"]
    return [*orphan, *FIRST_TO_GO, *pin, *limit]


def _allowed(limit: int, wanted: int) -> int:
    """At most what this process itself may have."""
    hard = resource.getrlimit(limit)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def _start(
    argv: list[str], env: dict[str, str], cwd: str, files: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=files,
        )
    except FileNotFoundError as error:
        hint = "Install setpriv, taskset and prlimit with `apt-get install util-linux`."
        raise StepFailed(f"cannot run the job: {error}", hint) from error


def _environment(venv: Path, home: str, more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's: what an image sets, and what the job asks for."""
    return {
        "PATH": f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@contextmanager
def _deadline(
    process: subprocess.Popen[bytes], seconds: float, late: threading.Event
) -> Iterator[None]:
    """Kill the job after that time and set `late`."""

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a job and everything that it has started: they are one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _check(job: JobSpec, exit_code: int, output: JobOutput, late: bool) -> None:
    if late:
        text = f"the job exceeded its deadline of {job.timeout_s:g} s and was stopped"
        raise JobTimeout(text, f"See the log {job.log}.")
    refused = any(words in output.last_lines() for words in NO_MEMORY)
    killed = exit_code in (-signal.SIGKILL, SANDBOX_KILLED)
    if killed or (exit_code and refused):
        text = f"the job exceeded its memory limit of {job.memory_bytes / 1e6:.0f} MB"
        raise OutOfMemory(text, f"See the log {job.log}.")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
