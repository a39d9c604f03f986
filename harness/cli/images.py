"""`bench images`: the containers in which models are converted and run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import complete
from .command import command, group
from .deleting import show_and_delete
from .shared import DryRun, Engine, Yes

app = group(
    "List, build and delete images.",
    ["bench images list", "bench images build onnx", "bench images bundle onnx --arch aarch64"],
)


@command(app, "List images and whether they are built.", name="list")
def images_list(engine: Engine = "auto") -> None:
    """List the images that formats need and whether they are built."""
    from ..run import one_off
    from . import console

    console.show_rows("", ("image", "engine", "reference", "size"), one_off.list_images(engine))


@command(app, "Build missing images.", ["bench images build onnx tflite"], "build")
def images_build(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Default: all.", autocompletion=complete.images),
    ] = None,
    engine: Engine = "auto",
) -> None:
    """Build images that are missing or out of date. Use -v to see the build log."""
    from ..run import one_off
    from . import console
    from .human import duration

    def on_begin(name: str, log: Path) -> None:
        console.note(f"{name}: building; log: {log}")

    built, failed = one_off.build_images(names or [], engine, on_begin, console.detail)
    for image in built:
        state = "unchanged" if image.cached else f"built in {duration(image.seconds)}"
        console.say(f"{image.name}  {state}  {image.reference}  {image.digest}")
    for error in failed[1:]:
        console.show_error(error)
    if failed:
        raise failed[0]


@command(app, "Build the base image from Debian packages.", name="base")
def images_base() -> None:
    """Build the base image from Debian packages, for use without an image registry."""
    from ..run import one_off
    from . import console

    console.say(one_off.make_base(console.detail))


@command(
    app,
    "Build a runtime bundle for a device.",
    ["bench images bundle onnx --arch aarch64"],
    "bundle",
)
def images_bundle(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Image name: a folder in dockerfiles/.",
            autocompletion=complete.images,
        ),
    ],
    arch: Annotated[
        str,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="aarch64 or x86_64.",
            autocompletion=complete.architectures,
        ),
    ] = "aarch64",
    again: Annotated[
        bool, typer.Option("--again", help="Rebuild with Debian's current packages.")
    ] = False,
) -> None:
    """Build an image's runner as a single file, for devices without Docker."""
    from ..run import one_off
    from . import console
    from .human import duration

    made = one_off.make_bundle(name, arch, again, console.detail)
    state = "unchanged" if made.cached else f"built in {duration(made.seconds)}"
    size = f"{made.size_bytes / 1e6:.1f} MB"
    console.say(f"{made.name}  {made.arch}  {state}  {size}  {made.path}  sha256:{made.sha256}")


@command(
    app,
    "Delete outdated images and environments.",
    ["bench images prune --dry-run"],
    "prune",
)
def images_prune(engine: Engine = "auto", dry_run: DryRun = False, yes: Yes = False) -> None:
    """Delete outdated images and environments, and the remains of builds."""
    from ..housekeeping.deletion import of_old_images

    show_and_delete(of_old_images(engine), dry_run=dry_run, yes=yes)
