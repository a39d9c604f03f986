"""`bench check-noise`: the smallest change that a device can detect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import complete
from .command import command
from .shared import (
    AsJson,
    Engine,
    engine_for_models,
    interruptible,
    inventory_of,
    project_here,
)

if TYPE_CHECKING:
    from ..preview.estimate import Expected
    from ..run.pipeline import RunRequest
    from ..workspace import Workspace

app = typer.Typer()


@command(
    app,
    "Find the smallest change that a device can detect.",
    ["bench check-noise --device local", "bench check-noise --device pixel --profile quick"],
    "check-noise",
)
def check_noise(
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Device name: a file in devices/.", autocompletion=complete.devices
        ),
    ] = "local",
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Model name; default: the first in models/.",
            autocompletion=complete.models,
        ),
    ] = "",
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="The format to measure.",
            autocompletion=complete.formats,
        ),
    ] = "onnx",
    profile: Annotated[
        str,
        typer.Option(metavar="NAME", help="quick or full.", autocompletion=complete.profiles),
    ] = "full",
    engine: Engine = "auto",
    json: AsJson = False,
) -> None:
    """Measure a cell against itself: the smallest detectable change, and what causes the noise."""
    from ..analysis import host_noise, noise_floor
    from ..run import pipeline
    from ..runner.job import TRIALS, TRUSTED
    from ..serial import dumps
    from ..workspace import cache_root
    from . import comparison_text, console, watch

    if profile not in TRUSTED:
        raise UsageError(
            f"--profile {profile}: unknown profile", f"Choose one of {', '.join(TRUSTED)}."
        )
    space = project_here()
    _check_names(space, device, model, format)
    source = cache_root() / "noise" / f"{device}.yaml"
    source.parent.mkdir(parents=True, exist_ok=True)
    chosen = model or next(iter(space.models()), "")
    source.write_text(
        noise_floor.scenario(chosen, format, device, profile, TRIALS[profile]), "utf-8"
    )
    request = _noise_request(source, space, engine)
    before = host_noise.read_cpu_time()
    interruptible()
    expected = _expected(request, space)
    with watch.watcher(json, request.plan.cells, expected) as progress:
        run = pipeline.execute(request, progress)
    steal = host_noise.steal_percent(before, host_noise.read_cpu_time())
    local = request.devices[device].transport == "local"
    found = noise_floor.analyse(
        run, *((host_noise.read_machine(), steal) if local else (None, None))
    )
    path = noise_floor.save(cache_root(), found)
    if json:
        console.json_text(dumps(found))
        return
    for line in comparison_text.noise_lines(found):
        console.say(line)
    console.note(f"saved in {path}")


def _check_names(space: Workspace, device: str, model: str, format: str) -> None:
    """Raises UsageError: these names come from the command line, not from a scenario file."""
    from ..formats import REGISTRY
    from ..scenario.mistakes import neighbours

    for what, name, known in (
        ("device", device, list(space.devices())),
        ("model", model, list(space.models())),
        ("format", format, list(REGISTRY)),
    ):
        if name and name not in known:
            raise UsageError(
                f"unknown {what} '{name}'{neighbours(name, known)}",
                f"Name an existing {what} with --{what}.",
            )


def _expected(request: RunRequest, space: Workspace) -> Expected:
    from ..scenario.plan import read_inventory
    from .planning import Planned, forecast

    inventory = read_inventory(space.models(), space.devices())
    planned = Planned(request.scenario, inventory, space, request.plan)
    return forecast(planned, request.plan.cells)


def _noise_request(path: Path, space: Workspace, engine: str) -> RunRequest:
    from ..run import pipeline
    from ..scenario import config
    from ..scenario import plan as plans
    from ..workspace import cache_root

    source = config.read_scenario(path)
    inventory = inventory_of(space)
    made = plans.make_plan(source, inventory)
    if not made.cells:
        raise UsageError(f"{made.skipped[0].cell.id}: {made.skipped[0].reason}")
    return pipeline.RunRequest(
        scenario=source,
        plan=made,
        models=inventory.models,
        devices=inventory.devices,
        engine=engine_for_models(engine),
        cache=cache_root(),
        folder=pipeline.new_folder(space.runs, "noise"),
        command="bench check-noise",
    )
