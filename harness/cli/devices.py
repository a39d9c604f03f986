"""`bench devices`: what is there, what hinders, one step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .shared import (
    AsJson,
    DeviceName,
    device_named,
    interruptible,
    inventory_of,
    workspace,
)

if TYPE_CHECKING:
    from ..targets.check import Check

app = typer.Typer(
    help="The machines of devices/: what is there, what hinders; see docs/devices.md.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def devices_list(context: typer.Context, json: AsJson = False) -> None:
    """Every device with its state, and why one cannot be used."""
    from ..serial import dumps
    from ..targets import check
    from . import console, device_text

    if context.invoked_subcommand:
        return
    seen = check.look_at_all(list(inventory_of(workspace()).devices.values()))
    if json:
        for device in seen:
            print(dumps(device))
        return
    console.show_rows("", device_text.COLUMNS, [device_text.device_row(device) for device in seen])
    for device in seen:
        if why := device_text.why_not(device):
            console.say(why)


@app.command("check")
def devices_check(name: DeviceName, json: AsJson = False) -> None:
    """Walk through one device: connect, authorise, space, steady, runtime, one inference."""
    from ..containers import choose
    from ..serial import dumps
    from ..targets import check
    from ..targets.first_inference import FirstRun
    from ..workspace import cache_root
    from . import console, device_text

    inventory = inventory_of(workspace())
    spec = device_named(inventory, name)
    engine = choose("auto")
    first = FirstRun(engine, inventory, cache_root())
    interruptible()

    def tell(step: Check) -> None:
        if json:
            print(dumps(step), flush=True)
            return
        for line in device_text.check_lines(step):
            console.say(line)

    try:
        done = check.check(spec, first.runtime, first.infer, tell)
    finally:
        engine.close()
    raise typer.Exit(1 if any(step.outcome == "failed" for step in done) else 0)


@app.command("discover")
def devices_discover(
    write: Annotated[bool, typer.Option("--write", help="Write the files to devices/.")] = False,
    json: AsJson = False,
) -> None:
    """Find the phones of the running adb server, and offer a device file for each."""
    from ..serial import dumps
    from ..targets import discover as finder
    from . import console, device_text

    space = workspace()
    offers = finder.discover(inventory_of(space).devices)
    if not offers:
        console.note("the adb server has no device: plug one in, and allow USB debugging on it")
    for offer in offers:
        if write and offer.yaml:
            path = finder.write(offer, space.project / "devices")
            console.note(f"wrote {path}")
        if json:
            print(dumps(offer))
        elif not (write and offer.yaml):
            for line in device_text.offer_lines(offer):
                console.say(line)


@app.command("clean")
def devices_clean(name: DeviceName, json: AsJson = False) -> None:
    """Put a device back as it was, and remove everything of ours from it."""
    from ..serial import dumps
    from ..targets import check
    from . import console, device_text

    spec = device_named(inventory_of(workspace()), name)
    interruptible()
    done = check.clean(spec)
    if json:
        print(dumps(done))
        return
    for line in device_text.cleaned_lines(done):
        console.say(line)
