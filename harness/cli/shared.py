"""What the commands share: arguments, the project around them, and how they are interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..records import DeviceSpec
    from ..scenario.plan import Inventory
    from ..workspace import Workspace

ScenarioPath = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario's YAML file.")]
Only = Annotated[
    list[str], typer.Option("--only", metavar="GLOB", help="Cells whose id matches; repeatable.")
]
Engine = Annotated[
    str, typer.Option("--engine", help="docker, venv or auto (docker where a daemon answers).")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines on stdout instead of text.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or folder, or `latest`.")]
DeviceName = Annotated[str, typer.Argument(metavar="NAME", help="A file of devices/.")]
OutPath = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]


class Interrupted(Exception):
    """Carries the command that goes on."""


def interruptible() -> None:
    """SIGINT and SIGTERM end what runs in order; a background job inherits SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def workspace() -> Workspace:
    from ..workspace import Workspace

    return Workspace.here()


def inventory_of(space: Workspace) -> Inventory:
    from ..scenario import plan as plans

    return plans.read_inventory(space.models(), space.devices())


def device_named(inventory: Inventory, name: str) -> DeviceSpec:
    from ..scenario.config import neighbours

    if name not in inventory.devices:
        raise UsageError(f"no device '{name}'{neighbours(name, list(inventory.devices))}")
    return inventory.devices[name]
