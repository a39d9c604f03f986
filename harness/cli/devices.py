"""`bench devices`: list, diagnose, discover and clean devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .command import callback, command, group
from .shared import (
    AsJson,
    DeviceName,
    Engine,
    device_named,
    engine_for_models,
    interruptible,
    inventory_of,
    workspace,
)

if TYPE_CHECKING:
    from ..targets.check import Check

app = group(
    "List, diagnose and clean devices.",
    ["bench devices", "bench devices check pixel", "bench devices discover --write"],
    no_args_is_help=False,
)


@callback(app)
def devices_list(context: typer.Context, json: AsJson = False) -> None:
    """List every device with its state, and why it is unavailable; see docs/devices.md."""
    from ..serial import dumps
    from ..targets import check
    from . import console, device_text

    if context.invoked_subcommand:
        return
    seen = check.look_at_all(list(inventory_of(workspace()).devices.values()))
    if json:
        for device in seen:
            console.json_text(dumps(device))
    else:
        rows = [device_text.device_row(device) for device in seen]
        console.show_rows("", device_text.COLUMNS, rows)
        for why in filter(None, map(device_text.why_not, seen)):
            console.say(why)
    if any(device.state == "failed" for device in seen):
        raise typer.Exit(1)


@command(app, "Diagnose a device step by step.", ["bench devices check pixel"], "check")
def devices_check(name: DeviceName, engine: Engine = "auto", json: AsJson = False) -> None:
    """Diagnose a device: connection, permissions, space, clocks, runtime, one inference.

    Exit code 1: a step failed."""
    from ..serial import dumps
    from ..targets import check
    from ..targets.first_inference import FirstRun
    from ..workspace import cache_root
    from . import console, device_text

    inventory = inventory_of(workspace())
    spec = device_named(inventory, name)
    chosen = engine_for_models(engine)
    first = FirstRun(chosen, inventory, cache_root())
    interruptible()

    def tell(step: Check) -> None:
        if json:
            console.json_text(dumps(step))
            return
        for line in device_text.check_lines(step):
            console.say(line)

    try:
        done = check.check(spec, first.runtime, first.infer, tell)
    finally:
        chosen.close()
    raise typer.Exit(1 if any(step.outcome == "failed" for step in done) else 0)


@command(
    app,
    "Find phones on the adb server.",
    ["bench devices discover", "bench devices discover --write"],
    "discover",
)
def devices_discover(
    write: Annotated[bool, typer.Option("--write", help="Write the files to devices/.")] = False,
    json: AsJson = False,
) -> None:
    """Find phones on the running adb server, and print a device file for each."""
    from ..serial import dumps
    from ..targets import discover as finder
    from . import console, device_text

    space = workspace()
    offers = finder.discover(inventory_of(space).devices)
    if not offers:
        console.note("no device on the adb server: connect one and allow USB debugging on it")
    for offer in offers:
        if write and offer.yaml:
            path = finder.write(offer, space.project / "devices")
            console.note(f"wrote {path}")
        if json:
            console.json_text(dumps(offer))
        elif not (write and offer.yaml):
            for line in device_text.offer_lines(offer):
                console.say(line)


@command(app, "Restore a device and remove bench's files from it.", name="clean")
def devices_clean(name: DeviceName, json: AsJson = False) -> None:
    """Restore a device's settings and remove all of bench's files from it."""
    from ..serial import dumps
    from ..targets import check
    from . import console, device_text

    spec = device_named(inventory_of(workspace()), name)
    interruptible()
    done = check.clean(spec)
    if json:
        console.json_text(dumps(done))
        return
    for line in device_text.cleaned_lines(done):
        console.say(line)
