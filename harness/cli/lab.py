"""`bench lab`: an emulated phone, Jetson and host on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from . import complete
from .command import command, group

app = group(
    "Emulate a phone, a Jetson and a host on this machine.",
    ["sudo bench lab up", "bench run scenarios/rio-lab.yaml", "sudo bench lab down"],
)


@command(app, "Start the lab's devices.", ["sudo bench lab up phone"], "up")
def lab_up(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DEVICE",
            help="phone, jetson, host; default: all.",
            autocompletion=complete.lab_devices,
        ),
    ] = None,
) -> None:
    """Start the lab's devices and wait until they answer; `bench devices` then lists them."""
    from ..lab import upkeep
    from . import console

    upkeep.up(names or upkeep.NAMES, console.note)
    lab_status()


@command(app, "Stop the lab and undo its changes.", name="down")
def lab_down() -> None:
    """Stop the lab and undo its changes to this machine; the root file systems stay cached."""
    from ..lab import upkeep
    from . import console

    upkeep.down(console.say)


@command(app, "Show the lab's devices.", name="status")
def lab_status() -> None:
    """Show the lab's devices: state, address and disk usage."""
    from ..lab import upkeep
    from . import console

    rows = upkeep.status()
    console.show_rows("", ("device", "state", "address", "root", "written"), rows)


@command(
    app,
    "Inject or clear a fault.",
    ["bench lab fault phone reboot", "bench lab fault jetson heat 95"],
    "fault",
)
def lab_fault(
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE", help="phone, jetson or host.", autocompletion=complete.lab_devices
        ),
    ],
    name: Annotated[
        str, typer.Argument(metavar="FAULT", help="See docs/lab.md; an unknown name lists all.")
    ],
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="Value of the fault, if it takes one.")
    ] = "",
) -> None:
    """Inject a fault into one of the lab's devices, or clear it."""
    from ..lab import upkeep
    from . import console

    console.say(f"{device}: {upkeep.fault(device, name, value)}")
