"""Shared by the commands: arguments, the project, and interruption."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import UsageError
from . import complete, settings

if TYPE_CHECKING:
    from ..containers import ContainerEngine
    from ..records import DeviceSpec
    from ..scenario.plan import Inventory
    from ..workspace import Workspace

ScenarioPath = Annotated[
    Path,
    typer.Argument(
        metavar="SCENARIO", help="Scenario file (YAML).", autocompletion=complete.scenarios
    ),
]
Only = Annotated[
    list[str],
    typer.Option("--only", metavar="GLOB", help="Only cells whose id matches; repeatable."),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="docker, venv or auto (docker if available).",
        autocompletion=complete.engines,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines instead of text.")]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Run id, run folder or `latest`.", autocompletion=complete.runs
    ),
]
DeviceName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Device name: a file in devices/.", autocompletion=complete.devices
    ),
]
OutPath = Annotated[Path | None, typer.Option("--out", "-o", metavar="PATH", help="Output path.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Interrupted(Exception):
    """Carries the command that continues the run."""


def interruptible() -> None:
    """Shut down cleanly on SIGINT, SIGTERM and SIGHUP.

    A background job inherits SIGINT ignored, and is stopped all the same; a hangup that `nohup`
    ignores stays ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(signum: int, frame: object) -> NoReturn:
    """A closing session sends several signals; later ones must not interrupt the shutdown."""
    if signum != signal.SIGINT:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def workspace() -> Workspace:
    """The current project, for its models and devices; without one, the current folder."""
    from ..workspace import Workspace

    return Workspace.here(settings.current().project)


def project_here() -> Workspace:
    """The current project, to write a run to; printed."""
    return _named(workspace())


def run_project(run: Path) -> Workspace:
    """The project that results made from a run are written to."""
    from ..workspace import Workspace

    return _named(Workspace.of_run(run, settings.current().project))


def project_with_runs() -> Workspace:
    """The current project, to read runs from; printed."""
    from ..workspace import Workspace

    return _named(Workspace.with_runs(settings.current().project))


def project_of(scenario: Path) -> Workspace:
    """The project of a scenario; printed."""
    from ..workspace import Workspace

    return _named(Workspace.of_scenario(scenario, settings.current().project))


def run_named(name: str) -> tuple[Workspace, Path]:
    """A run by id, folder or `latest`, and the project that its report is written to."""
    from ..store import find_run

    folder = Path(name)
    if (folder / "run.json").is_file():
        return run_project(folder), folder
    space = project_with_runs()
    return space, find_run(space.runs, name)


def runs_named(names: Sequence[str]) -> list[Path]:
    """Runs by id, folder or `latest`; a folder needs no project."""
    from ..store import find_run

    paths = [Path(name) for name in names]
    if all((path / "run.json").is_file() for path in paths):
        return paths
    space = project_with_runs()
    return [find_run(space.runs, name) for name in names]


def _named(space: Workspace) -> Workspace:
    from . import console

    console.note(f"project: {space.project}")
    return space


def write_out(path: Path, data: bytes) -> None:
    """Write a result to the named file; raises UsageError if that is impossible."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror or error}", "Name a file in a writable folder."
        ) from None


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; raises UsageError without one, and typer.Exit(1) for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: not a terminal", "Pass --yes to delete without asking."
        )
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def engine_for_models(asked: str, recorded: str = "auto") -> ContainerEngine:
    """See `containers.choose_for_models`; prints a note if models are not confined."""
    from ..containers import choose_for_models
    from . import console

    engine = choose_for_models(asked, recorded)
    if engine.confinement == "none":
        console.note("no sandbox: models run with access to this user's files and network")
    return engine


def inventory_of(space: Workspace) -> Inventory:
    from ..scenario import plan as plans

    return plans.read_inventory(space.models(), space.devices())


def device_named(inventory: Inventory, name: str) -> DeviceSpec:
    from ..scenario.mistakes import neighbours

    if name not in inventory.devices:
        raise UsageError(
            f"unknown device '{name}'{neighbours(name, list(inventory.devices))}",
            "Name a device that `bench devices` lists.",
        )
    return inventory.devices[name]
