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


@command(app, "Start the lab's devices, and wait for them.", ["sudo bench lab up phone"], "up")
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
    """Start the lab's devices, and wait until they answer. `bench devices` lists them then."""
    from ..lab import upkeep
    from . import console

    upkeep.up(names or upkeep.NAMES, console.note)
    lab_status()


@command(app, "End the lab; this machine is left as it was.", name="down")
def lab_down() -> None:
    """End the lab, and leave this machine as it was; the devices' roots stay in the cache."""
    from ..lab import upkeep
    from . import console

    upkeep.down(console.say)


@command(app, "Show which of its devices run, and where.", name="status")
def lab_status() -> None:
    """Show which of the lab's devices run, how to reach them, and what they take."""
    from ..lab import upkeep
    from . import console

    rows = upkeep.status()
    console.show_rows("", ("device", "state", "address", "root", "written"), rows)


@command(
    app,
    "Inject a fault into one of its devices, or end it.",
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
        str, typer.Argument(metavar="FAULT", help="See docs/lab.md; a wrong name lists them.")
    ],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="How much, where it has one.")] = "",
) -> None:
    """Inject a fault into one of the lab's devices, or end one."""
    from ..lab import upkeep
    from . import console

    console.say(f"{device}: {upkeep.fault(device, name, value)}")
