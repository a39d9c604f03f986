"""Where jobs run: a Docker image, or a virtual environment from the same lock.

Both satisfy `ContainerEngine`. What they promise differs, and docs/containers.md has the table:
a virtual environment is confined if bubblewrap works, else not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ..errors import StepFailed, UsageError
from ..records import Image
from ..untrusted.budget import Leaf

EngineName = Literal["docker", "venv"]
#: what isolates a job from the rest of the machine
Confinement = Literal["docker", "bubblewrap", "none"]
OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine that a job sees; `target` is its path in a container."""

    host: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class JobSpec:
    """One process: `argv` follows the interpreter, `log` gets its complete output.

    No `cpus` means any; paths in `argv` and `env` are those of `ContainerEngine.locate`. `leaves`
    are the files that are wanted from the writable mount when the job has ended.
    """

    argv: tuple[str, ...]
    log: Path
    mounts: tuple[Mount, ...] = ()
    cpus: tuple[int, ...] = ()
    memory_bytes: int = 4 << 30
    timeout_s: float = 600.0
    #: limit of everything that it writes
    disk_bytes: int = 16 << 30
    env: Mapping[str, str] = field(default_factory=dict)
    leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True)
class CompletedJob:
    """A finished job: its exit code and at most the last 64 KB of its output.

    Standard output and error arrive as they come; Docker keeps no order between the two.
    """

    exit_code: int
    output: str
    seconds: float


@dataclass(frozen=True)
class Built:
    """An image or environment that is on this machine."""

    name: str
    reference: str
    size_bytes: int


class ContainerEngine(Protocol):
    """Builds a format's image and runs jobs in it."""

    @property
    def name(self) -> EngineName: ...

    @property
    def confinement(self) -> Confinement: ...

    def reference(self, name: str, platform: str | None = None) -> str:
        """What `build` makes of the files as they are now; the last part is the hash of them."""
        ...

    def build(
        self, name: str, log: Path, on_line: OnLine | None = None, platform: str | None = None
    ) -> Image:
        """The image of `name`, from before if nothing that it is made from has changed.

        `platform` is `linux/amd64` or `linux/arm64`; None is the engine's own. Any thread may
        call this. Raises StepFailed with the last lines of the build's log and the path to all
        of it, and where the engine or the machine cannot make images of that platform.
        """
        ...

    def make_base(self, log: Path, on_line: OnLine | None = None) -> str:
        """Make the local base image again; its id.

        Raises UsageError from an engine that has none, StepFailed without root or debootstrap.
        """
        ...

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        """Run a job to its end; nothing of it is left running, however this returns.

        Raises JobTimeout, OutOfMemory, and StepFailed if it could not be started or exceeded its
        disk limit.
        """
        ...

    def locate(self, mount: Mount) -> str:
        """The path that a job sees for a mount."""
        ...

    def built(self) -> tuple[Built, ...]:
        """Every bench image on this machine, including outdated ones."""
        ...

    def remove(self, built: Built) -> None:
        """Delete an image."""
        ...

    def sweep(self) -> int:
        """Delete the remains of builds; the approximate number of bytes freed."""
        ...

    def close(self) -> None:
        """Stop all jobs of this process, and the remains of a killed one.

        May be called twice.
        """
        ...


def docker_available() -> str | None:
    """Why Docker is unavailable and what to do about it; None if it is available."""
    from .daemon import unreachable

    try:
        import docker  # noqa: F401
    except ImportError:
        return "Python package docker not found; run `pip install docker`"
    if reason := unreachable():
        return reason
    from .docker import blind

    return blind()


def choose(engine: str = "auto", *, confined: bool = False) -> ContainerEngine:
    """The engine by name; `auto` is docker if a daemon answers, else venv.

    Raises UsageError for another name, StepFailed if Docker is requested but unavailable. With
    `confined`, raises UsageError if jobs would run without a sandbox.
    """
    if engine not in ("auto", "docker", "venv"):
        raise UsageError(f"--engine {engine}: unknown engine, expected auto, docker or venv")
    reason = docker_available() if engine != "venv" else None
    if engine == "docker" and reason:
        raise StepFailed(
            f"Docker unavailable: {reason}", "Start Docker, or run with --engine venv."
        )
    if engine == "venv" or reason:
        return _venv(confined, reason)
    from .docker import DockerEngine

    return DockerEngine()


def choose_for_models(asked: str = "", recorded: str = "auto") -> ContainerEngine:
    """The engine for jobs that run a model's code, which is untrusted.

    `asked` is the option as given, `recorded` its replacement if empty: only an explicit `venv`
    accepts that models run without a sandbox. Raises like `choose`.
    """
    return choose(asked or recorded, confined=asked != "venv")


def _venv(confined: bool, no_docker: str | None) -> ContainerEngine:
    from . import bubblewrap
    from .venv import VenvEngine

    reason = bubblewrap.why_not() if confined else None
    if reason:
        whys = [f"Docker unavailable: {no_docker}"] if no_docker else []
        raise UsageError(
            "; ".join(["no sandbox for models", *whys, reason]),
            "Install bubblewrap, or pass --engine venv to run models without a sandbox.",
        )
    return VenvEngine()
