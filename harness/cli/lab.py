"""`bench lab`: an emulated phone, Jetson and host on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="An emulated phone, Jetson and host on this machine; see docs/lab.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("up")
def lab_up(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="phone, jetson, host; default: all."),
    ] = None,
) -> None:
    """Start the lab's devices, and wait until they answer; their files appear in `devices`."""
    from ..lab import upkeep
    from . import console

    upkeep.up(names or upkeep.NAMES, console.note)
    lab_status()


@app.command("down")
def lab_down() -> None:
    """End the lab, and leave this machine as it was; the devices' files stay in the cache."""
    from ..lab import upkeep
    from . import console

    upkeep.down(console.say)


@app.command("status")
def lab_status() -> None:
    """Say which of the lab's devices run, how to reach them, and what they take."""
    from ..lab import upkeep
    from . import console

    rows = upkeep.status()
    console.show_rows("", ("device", "state", "address", "root", "written"), rows)


@app.command("fault")
def lab_fault(
    device: Annotated[str, typer.Argument(help="phone, jetson or host.")],
    name: Annotated[str, typer.Argument(help="See docs/lab.md, or any wrong name for the list.")],
    value: Annotated[str, typer.Argument()] = "",
) -> None:
    """Make something go wrong with one of the lab's devices, or end that."""
    from ..lab import upkeep
    from . import console

    console.say(f"{device}: {upkeep.fault(device, name, value)}")
