"""`bench convert`, `doctor`, `init`, `schema`: around a project rather than a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import Engine, OutPath, inventory_of, workspace

app = typer.Typer()


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="A folder of models/.")],
    format: Annotated[str, typer.Option("--format", "-f", help="The format to convert to.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file or folder to write.")],
    precision: Annotated[str, typer.Option("--precision", "-p")] = "fp32",
    engine: Engine = "auto",
) -> None:
    """Convert a model inside its format's container and write the result to OUT."""
    from ..run import one_off
    from . import console

    artifact = one_off.convert_one(inventory_of(workspace()), model, format, precision, engine, out)
    console.say(f"{out}  {artifact.size_bytes / 1e6:.2f} MB  sha256 {artifact.sha256}")


@app.command()
def doctor() -> None:
    """Say what is here, what is missing and how to get it."""
    from . import checks, console

    findings = checks.examine()
    console.show_rows("", ("", "what", "seen", "what to do"), [f.texts() for f in findings])
    raise typer.Exit(1 if any(f.state == "missing" for f in findings) else 0)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty project folder.")] = Path(),
) -> None:
    """Start a project: a commented scenario and model.yaml for your own model."""
    from ..scenario import init_project
    from . import console

    for path in init_project.write(folder):
        console.say(f"wrote {path}")


@app.command()
def schema(out: OutPath = None) -> None:
    """Print the JSON schema of a scenario, for editors."""
    import json

    from ..scenario import config
    from . import console

    text = json.dumps(config.schema(), indent=2) + "\n"
    if out:
        out.write_text(text, encoding="utf-8")
    else:
        console.say(text.rstrip())
