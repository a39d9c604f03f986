"""`bench images`: the containers that models are converted and run in."""

from __future__ import annotations

from typing import Annotated

import typer

from .shared import Engine

app = typer.Typer(
    help="The containers that models are converted and run in.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def images_list(engine: Engine = "auto") -> None:
    """Images that formats need, and whether they are built."""
    from ..run import one_off
    from . import console

    console.show_rows("", ("image", "engine", "reference", "size"), one_off.list_images(engine))


@app.command("build")
def images_build(
    names: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    engine: Engine = "auto",
) -> None:
    """Build images; an unchanged one is left as it is."""
    from ..run import one_off
    from . import console

    for image in one_off.build_images(names or [], engine, console.note):
        state = "unchanged" if image.cached else f"built in {image.seconds:.0f} s"
        console.say(f"{image.name}  {state}  {image.reference}  {image.digest}")


@app.command("base")
def images_base() -> None:
    """Make the base image from Debian's packages, where no image registry answers."""
    from ..run import one_off
    from . import console

    console.say(one_off.make_base(console.note))


@app.command("bundle")
def images_bundle(
    name: Annotated[str, typer.Argument(help="A folder of dockerfiles/.")],
    arch: Annotated[str, typer.Option("--arch", help="aarch64 or x86_64.")] = "aarch64",
    again: Annotated[
        bool, typer.Option("--again", help="Make it anew, with Debian's packages of today.")
    ] = False,
) -> None:
    """Make the runner of an image as one file, for devices without Docker."""
    from ..run import one_off
    from . import console

    made = one_off.make_bundle(name, arch, again, console.note)
    state = "unchanged" if made.cached else f"made in {made.seconds:.0f} s"
    size = f"{made.size_bytes / 1e6:.1f} MB"
    console.say(f"{made.name}  {made.arch}  {state}  {size}  {made.path}  sha256:{made.sha256}")


@app.command("prune")
def images_prune(engine: Engine = "auto") -> None:
    """Delete images and environments of older files."""
    from ..run import one_off
    from . import console

    for reference in one_off.prune_images(engine):
        console.say(f"removed {reference}")
