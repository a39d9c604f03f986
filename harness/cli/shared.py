"""What the commands share: arguments, the project around them, and how they are interrupted."""

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
        metavar="SCENARIO", help="A scenario's YAML file.", autocompletion=complete.scenarios
    ),
]
Only = Annotated[
    list[str], typer.Option("--only", metavar="GLOB", help="Cells whose id matches; repeatable.")
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="docker, venv or auto (docker if it answers).",
        autocompletion=complete.engines,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines on stdout instead of text.")]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id or folder, or `latest`.", autocompletion=complete.runs
    ),
]
DeviceName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A file of devices/.", autocompletion=complete.devices),
]
OutPath = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="PATH", help="Where to write.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, then stop.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]


class Interrupted(Exception):
    """Carries the command that goes on."""


def interruptible() -> None:
    """SIGINT, SIGTERM and SIGHUP end what runs in order.

    A background job inherits SIGINT ignored, and is ended all the same; `nohup` says that the end
    of the terminal is to be ignored, and it is.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(signum: int, frame: object) -> NoReturn:
    """A session that ends sends several; the second one must not break off what the first began."""
    if signum != signal.SIGINT:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def workspace() -> Workspace:
    """The project at hand, for its models and devices; the current folder where there is none."""
    from ..workspace import Workspace

    return Workspace.here(settings.current().project)


def project_here() -> Workspace:
    """The project at hand, to write a run in, which is named to the person."""
    return _named(workspace())


def run_project(run: Path) -> Workspace:
    """The project that what is made of a run's folder is written to."""
    from ..workspace import Workspace

    return _named(Workspace.of_run(run, settings.current().project))


def project_with_runs() -> Workspace:
    """The project at hand, for its runs, which is named to the person."""
    from ..workspace import Workspace

    return _named(Workspace.with_runs(settings.current().project))


def project_of(scenario: Path) -> Workspace:
    """The project of a scenario, which is named to the person."""
    from ..workspace import Workspace

    return _named(Workspace.of_scenario(scenario, settings.current().project))


def run_named(name: str) -> tuple[Workspace, Path]:
    """A run by its id, its folder or `latest`, and the project that its pages are written to."""
    from ..store import find_run

    folder = Path(name)
    if (folder / "run.json").is_file():
        return run_project(folder), folder
    space = project_with_runs()
    return space, find_run(space.runs, name)


def runs_named(names: Sequence[str]) -> list[Path]:
    """Runs by id, folder or `latest`; only one that is no folder needs a project."""
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
    """Write a result to a file that the person named; raises UsageError where that cannot be."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror or error}", "Name a file in a folder that can be written."
        ) from None


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; raises UsageError elsewhere, and typer.Exit(1) for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked: not a terminal", "Pass --yes to delete.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def engine_for_models(asked: str, recorded: str = "auto") -> ContainerEngine:
    """See `containers.choose_for_models`; the person is told where models are not confined."""
    from ..containers import choose_for_models
    from . import console

    engine = choose_for_models(asked, recorded)
    if engine.confinement == "none":
        console.note("no sandbox: models run with this user's files and network")
    return engine


def inventory_of(space: Workspace) -> Inventory:
    from ..scenario import plan as plans

    return plans.read_inventory(space.models(), space.devices())


def device_named(inventory: Inventory, name: str) -> DeviceSpec:
    from ..scenario.mistakes import neighbours

    if name not in inventory.devices:
        raise UsageError(
            f"no device '{name}'{neighbours(name, list(inventory.devices))}",
            "Name a file of devices/, as `bench devices` lists them.",
        )
    return inventory.devices[name]
