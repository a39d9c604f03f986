"""`bench devices`: what is there, what hinders, one step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .shared import AsJson, DeviceName, device_named, interruptible, inventory_of, workspace

if TYPE_CHECKING:
    from ..devices import Check

app = typer.Typer(
    help="The machines of devices/: what is there, what hinders; see docs/devices.md.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def devices_list(context: typer.Context, json: AsJson = False) -> None:
    """Every device with its state, and why one cannot be used."""
    from .. import console, devices, devicetext
    from ..serial import dumps

    if context.invoked_subcommand:
        return
    seen = devices.look_at_all(list(inventory_of(workspace()).devices.values()))
    if json:
        for device in seen:
            print(dumps(device))
        return
    console.show_rows("", devicetext.COLUMNS, [devicetext.device_row(device) for device in seen])
    for device in seen:
        if why := devicetext.why_not(device):
            console.say(why)


@app.command("check")
def devices_check(name: DeviceName, json: AsJson = False) -> None:
    """Walk through one device: connect, authorise, space, steady, runtime, one inference."""
    from .. import console, devices, devicetext
    from ..containers import choose
    from ..firstrun import FirstRun
    from ..serial import dumps
    from ..workspace import cache_root

    inventory = inventory_of(workspace())
    spec = device_named(inventory, name)
    engine = choose("auto")
    first = FirstRun(engine, inventory, cache_root())
    interruptible()

    def tell(step: Check) -> None:
        if json:
            print(dumps(step), flush=True)
            return
        for line in devicetext.check_lines(step):
            console.say(line)

    try:
        done = devices.check(spec, first.runtime, first.infer, tell)
    finally:
        engine.close()
    raise typer.Exit(1 if any(step.outcome == "failed" for step in done) else 0)


@app.command("discover")
def devices_discover(
    write: Annotated[bool, typer.Option("--write", help="Write the files to devices/.")] = False,
    json: AsJson = False,
) -> None:
    """Find the phones of the running adb server, and offer a device file for each."""
    from .. import console, devicetext
    from .. import discover as finder
    from ..serial import dumps

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
            for line in devicetext.offer_lines(offer):
                console.say(line)


@app.command("clean")
def devices_clean(name: DeviceName, json: AsJson = False) -> None:
    """Put a device back as it was, and remove everything of ours from it."""
    from .. import console, devices, devicetext
    from ..serial import dumps

    spec = device_named(inventory_of(workspace()), name)
    interruptible()
    done = devices.clean(spec)
    if json:
        print(dumps(done))
        return
    for line in devicetext.cleaned_lines(done):
        console.say(line)
