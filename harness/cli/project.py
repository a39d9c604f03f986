"""`bench convert`, `formats`, `doctor`, `init`, `schema`: commands about a project."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from . import complete
from .command import command
from .shared import AsJson, Engine, OutPath, inventory_of, workspace, write_out

app = typer.Typer()


@command(
    app,
    "Convert a model to a format.",
    ["bench convert rio -f onnx -p int8 -o rio-int8.onnx"],
)
def convert(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Model name: a folder in models/.", autocompletion=complete.models
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Target format.",
            autocompletion=complete.formats,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="PATH", help="File or folder to write.")
    ],
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            "-p",
            metavar="PRECISION",
            help="fp32, fp16 or int8.",
            autocompletion=complete.precisions,
        ),
    ] = "fp32",
    engine: Engine = "auto",
) -> None:
    """Convert a model in the format's container, and write the result to a file or folder."""
    from ..run import one_off
    from . import console
    from .human import size

    artifact = one_off.convert_one(inventory_of(workspace()), model, format, precision, engine, out)
    console.say(f"{out}  {size(artifact.size_bytes)}  sha256 {artifact.sha256}")


@command(app, "List the conversions between formats.", ["bench formats", "bench formats --json"])
def formats(json: AsJson = False) -> None:
    """List the conversions from which routes between formats are made.

    `verified`: a test has measured a model converted so, and its outputs were equal to the
    original's. `FORMAT@TOOL` in a scenario chooses a route with that tool."""
    from dataclasses import asdict

    from ..formats import routes
    from . import console

    found = routes.table(routes.specs())
    if json:
        console.json_text(dumps([asdict(one) for one in found], indent=1))
        return
    rows = [(o.source, o.format, o.tool, o.image, "yes" if o.verified else "no") for o in found]
    console.show_rows("", ("from", "to", "tool", "image", "verified"), rows)


@command(app, "Check this machine.", ["bench doctor"])
def doctor() -> None:
    """Check what bench needs on this machine; the last line says what to do first.

    Exit code 1: a requirement is missing."""
    from . import checks, console

    findings = checks.examine()
    console.show_rows("", ("", "what", "seen", "what to do"), [f.texts() for f in findings])
    console.say(checks.verdict(findings))
    raise typer.Exit(0 if checks.is_ready(findings) else 1)


@command(app, "Start a project for your own model.", ["bench init cards", "cd cards"])
def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="New or empty folder; default: the current one."),
    ] = Path(),
) -> None:
    """Start a project: bench.toml, a commented scenario, and a model.yaml for your own model."""
    from ..scenario import init_project
    from . import console

    for path in init_project.write(folder):
        console.say(f"wrote {path}")
    console.note("next: put your network and weights next to models/mine/model.yaml")


@command(
    app,
    "Print the JSON schema of a scenario, for editors.",
    ["bench schema --out scenarios/schema.json"],
)
def schema(out: OutPath = None) -> None:
    """Print the JSON schema of a scenario, for editors, or write it to a file."""
    import json

    from ..scenario import config
    from . import console

    text = json.dumps(config.schema(), indent=2) + "\n"
    if out:
        write_out(out, text.encode())
    else:
        console.say(text.rstrip())
