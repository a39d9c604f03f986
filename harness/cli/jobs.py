"""`bench run`, and what is made from a run: report, open, export."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import complete
from .command import command
from .planning import Planned, forecast, planned, show_plan
from .shared import (
    AsJson,
    Engine,
    Interrupted,
    Only,
    OutPath,
    RunName,
    ScenarioPath,
    engine_for_models,
    interruptible,
    inventory_of,
    run_named,
)

if TYPE_CHECKING:
    from ..preview.estimate import Expected
    from ..records import Cell
    from ..workspace import Workspace

app = typer.Typer()


@command(
    app,
    "Measure every cell of a scenario and write its report.",
    [
        "bench run scenarios/rio.yaml",
        "bench run scenarios/rio.yaml --only '*-onnx-*' --only '*-tflite-*'",
        "bench run scenarios/rio.yaml --resume",
    ],
)
def run(
    scenario: ScenarioPath,
    only: Only = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the newest unfinished run.")
    ] = False,
    engine: Engine = "auto",
    json: AsJson = False,
    profile_layers: Annotated[
        bool,
        typer.Option(
            "--profile-layers/--no-profile-layers",
            help="Record where each layer ran, in a separate pass.",
        ),
    ] = True,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = True,
) -> None:
    """Build, convert, check, measure and score every cell of a scenario, and write its report.

    Exit code 1: a cell or gate failed. 130: interrupted; continue with --resume.
    """
    from ..analysis import verdict
    from ..report.build import BUGS
    from ..run import pipeline
    from ..workspace import cache_root
    from . import console, run_text, watch
    from .live_pages import LivePages

    plan = planned(scenario, only)
    if dry_run:
        show_plan(plan, engine, json=json)
        return
    folder = _run_folder(plan, resume)
    request = pipeline.RunRequest(
        scenario=plan.source,
        plan=plan.plan,
        models=plan.inventory.models,
        devices=plan.inventory.devices,
        engine=engine_for_models(engine),
        cache=cache_root(),
        folder=folder,
        command=shlex.join(["bench", "run", str(scenario)]),
        profile_layers=profile_layers,
    )
    interruptible()
    todo = _todo(plan, folder)
    expected = forecast(plan, todo)
    if not json:
        console.note(_announced(folder, plan, todo, expected))
    out = plan.space.reports / folder.name
    with watch.watcher(json, todo, expected) as progress:
        write = partial(write_report, folder, out, plan.space, live=True)
        try:
            done = pipeline.execute(request, LivePages(write, progress) if report else progress)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; continue with: {_resumed()}") from None
    if report:
        page = write_report(folder, out, plan.space)
        progress("report", page=str(page)) if json else console.note(f"report: {page}")
    if not json:
        run_text.show_run(done)
    raise typer.Exit(verdict.exit_code(done) or int(report and (out / BUGS).exists()))


@command(
    app,
    "Rebuild the report of a run.",
    ["bench report", "bench report 20261122T104300-rio --out /tmp/pages"],
)
def report(run: RunName = "latest", out: OutPath = None) -> None:
    """Rebuild the report of a run, and print the path of its first page."""
    from . import console

    if out and not next(path for path in (out, *out.parents) if path.exists()).is_dir():
        raise UsageError(f"--out {out}: not a folder", "Name a new or an existing folder.")
    space, folder = run_named(run)
    page = write_report(folder, out or space.reports / folder.resolve().name, space)
    console.say(str(page))


@command(
    app,
    "Open the report of a run in the browser.",
    ["bench open", "bench open 20261122T104300-rio", "bench open --print"],
    name="open",
)
def open_report(
    run: RunName = "latest",
    print_only: Annotated[bool, typer.Option("--print", help="Only print its address.")] = False,
) -> None:
    """Open the report of a run in the browser, rebuilt first if it is missing or out of date.

    Without a display, print its address.
    """
    from . import browser, console

    space, folder = run_named(run)
    page = space.reports / folder.resolve().name / "index.html"
    if browser.is_older(page, folder):
        page = write_report(folder, page.parent, space)
    if print_only or not browser.open_page(page):
        console.say(page.resolve().as_uri())


@command(
    app,
    "Export a run as one row per cell.",
    ["bench export latest -f markdown", "bench export RUN -f parquet -o run.parquet"],
)
def export(
    run: RunName = "latest",
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="csv, json, parquet, markdown or junit.",
            autocompletion=complete.exports,
        ),
    ] = "csv",
    out: OutPath = None,
) -> None:
    """Export a run as one row per cell, to stdout or to a file."""
    from .. import export as exports
    from ..store import read_run
    from .shared import runs_named, write_out

    if format not in exports.FORMATS:
        raise UsageError(
            f"--format {format}: not an export format",
            f"Choose one of {', '.join(exports.FORMATS)}.",
        )
    data = exports.FORMATS[format](read_run(runs_named([run])[0]))
    if out is None:
        sys.stdout.buffer.write(data)
        return
    write_out(out, data)


def _run_folder(plan: Planned, resume: bool) -> Path:
    from ..run import pipeline

    if not resume:
        return pipeline.new_folder(plan.space.runs, plan.source.name)
    found = pipeline.resumable(plan.space.runs, pipeline.plan_key(plan.source, plan.plan))
    if found is None:
        raise UsageError(
            f"nothing to resume: no unfinished run of this scenario in {plan.space.runs}",
            "Start a new run without --resume.",
        )
    return found


def _todo(plan: Planned, folder: Path) -> list[Cell]:
    """The cells that have no result yet."""
    from ..store import read_run

    if not (folder / "run.json").is_file():
        return list(plan.plan.cells)
    done = {result.cell.id for result in read_run(folder).results}
    return [cell for cell in plan.plan.cells if cell.id not in done]


def _announced(folder: Path, plan: Planned, todo: list[Cell], expected: Expected) -> str:
    from .plan_text import counted, estimate_text

    devices = ", ".join(dict.fromkeys(cell.device for cell in todo)) or "no devices"
    trials = counted(len(todo) * expected.trials, "trial")
    return (
        f"run {folder.name}: {counted(len(todo), 'cell')} on {devices}, {trials}, "
        f"{len(plan.plan.skipped)} skipped; {estimate_text(expected)}"
    )


def _resumed() -> str:
    words = ["bench", *sys.argv[1:]]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def write_report(run: Path, out: Path, space: Workspace, live: bool = False) -> Path:
    """Write the report to `out`; its first page. `live`: the run is not finished."""
    from ..analysis import noise_floor
    from ..report.build import build_run
    from ..report.pictures import CocoPictures
    from ..store import read_run
    from ..workspace import cache_root

    read = read_run(run)
    models = {cell.model for cell in read.plan.cells}
    known = inventory_of(space).models
    folders = [known[name].datasets.get(read.info.dataset) for name in models if name in known]
    pictures = CocoPictures.of(folders[0], run) if folders and folders[0] else None
    return build_run(
        run, out, pictures, lambda device: noise_floor.load(cache_root(), device), live
    )
