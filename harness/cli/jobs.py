"""`bench run` and what is made of a run: plan, report, export."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BenchError, UsageError
from .shared import (
    AsJson,
    Engine,
    Interrupted,
    Only,
    OutPath,
    RunName,
    ScenarioPath,
    interruptible,
    inventory_of,
    workspace,
)

if TYPE_CHECKING:
    from ..records import Plan
    from ..scenario.config import Scenario
    from ..scenario.plan import Inventory
    from ..workspace import Workspace

app = typer.Typer()
#: pages of a run that goes on are not written more often, seconds
SOONEST_S = 15.0


@app.command()
def run(
    scenario: ScenarioPath,
    only: Only = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan, then stop.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest unfinished run.")
    ] = False,
    engine: Engine = "auto",
    json: AsJson = False,
    profile_layers: Annotated[
        bool,
        typer.Option(help="Ask each runtime what ran where, layer by layer, in a pass of its own."),
    ] = True,
    report: Annotated[bool, typer.Option(help="Write the pages at the end.")] = True,
) -> None:
    """Build, convert, check, measure and score every cell of a scenario, and write its report."""
    from ..analysis import verdict
    from ..containers import choose
    from ..run import pipeline
    from ..workspace import cache_root
    from . import console

    source, inventory, space, plan = _planned(scenario, only)
    if dry_run:
        _show_plan(plan, json)
        return
    folder = _run_folder(source, plan, space, resume)
    request = pipeline.Request(
        scenario=source,
        plan=plan,
        models=inventory.models,
        devices=inventory.devices,
        engine=choose(engine),
        cache=cache_root(),
        folder=folder,
        command=f"bench run {scenario}",
        profile_layers=profile_layers,
    )
    interruptible()
    if not json:
        console.note(f"project {space.project}  run {folder.name}")
    with console.JsonProgress() if json else console.LiveProgress(plan) as progress:
        pages = LivePages(folder, space, progress) if report else progress
        try:
            done = pipeline.execute(request, pages)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; go on with: bench run {scenario} --resume") from None
    if report:
        page = _write_report(folder, space.reports / folder.name, space)
        progress("report", page=str(page)) if json else console.note(f"report {page}")
    if not json:
        console.show_run(done)
    raise typer.Exit(verdict.exit_code(done) or (report and _pages_failed(space, folder)))


@app.command()
def plan(scenario: ScenarioPath, only: Only = [], json: AsJson = False) -> None:  # noqa: B006
    """Show what a scenario would run, what it would skip, and why."""
    _show_plan(_planned(scenario, only)[3], json)


@app.command()
def report(run: RunName = "latest", out: OutPath = None) -> None:
    """Write the pages of a run again."""
    from ..store import find_run
    from . import console

    space = workspace()
    folder = find_run(space.runs, run)
    console.say(str(_write_report(folder, out or space.reports / folder.resolve().name, space)))


@app.command()
def export(
    run: RunName = "latest",
    format: Annotated[
        str, typer.Option("--format", "-f", help="csv, json, parquet, markdown or junit.")
    ] = "csv",
    out: OutPath = None,
) -> None:
    """Write a run as one row per cell, for other programs."""
    from .. import export as exports
    from ..store import find_run, read_run

    if format not in exports.FORMATS:
        raise UsageError(f"--format {format}: is not one of {', '.join(exports.FORMATS)}")
    data = exports.FORMATS[format](read_run(find_run(workspace().runs, run)))
    if out is None:
        sys.stdout.buffer.write(data)
        return
    try:
        out.write_bytes(data)
    except OSError as error:
        raise BenchError(f"{out}: {error.strerror}") from None


def _planned(path: Path, only: list[str]) -> tuple[Scenario, Inventory, Workspace, Plan]:
    from ..scenario import config
    from ..scenario import plan as plans
    from ..workspace import Workspace

    space = Workspace.of_scenario(path)
    models, devices = space.models(), space.devices()
    source = config.read_scenario(path, plans.known_names(models, devices))
    inventory = plans.read_inventory(models, devices, wanted=source.file.models)
    plan = plans.make_plan(source, inventory, only)
    notes = plans.dataset_notes(source, inventory)
    return source, inventory, space, replace(plan, notes=(*plan.notes, *notes))


def _show_plan(plan: Plan, json: bool) -> None:
    from ..serial import dumps
    from . import console

    if json:
        print(dumps(plan))
    else:
        console.show_plan(plan)


def _run_folder(source: Scenario, plan: Plan, space: Workspace, resume: bool) -> Path:
    from ..run import pipeline

    if not resume:
        return space.runs / pipeline.new_run_id(source.file.name)
    found = pipeline.resumable(space.runs, pipeline.plan_key(source, plan))
    if found is None:
        raise UsageError(
            "nothing to resume: no unfinished run of this very scenario",
            "Leave --resume away to start one; a changed scenario or --only is another plan.",
        )
    return found


def _pages_failed(space: Workspace, folder: Path) -> bool:
    from ..report.build import BUGS

    return (space.reports / folder.name / BUGS).exists()


class LivePages:
    """Passes events on, and writes the pages anew as cells get numbers, between two trials.

    It takes a tenth of the time at most: what is measured waits meanwhile.
    """

    def __init__(self, run: Path, space: Workspace, events: Callable[..., None]) -> None:
        self._run, self._space, self._events = run, space, events
        self._busy, self._next = threading.Lock(), 0.0

    def __call__(self, event: str, **values: object) -> None:
        """See `console.LiveProgress`."""
        self._events(event, **values)
        if event in ("provisional", "cell") and self._busy.acquire(blocking=False):
            try:
                self._write(first=event == "provisional" and not self._next)
            finally:
                self._busy.release()

    def _write(self, first: bool) -> None:
        began = time.monotonic()
        if began < self._next:
            return
        out = self._space.reports / self._run.name
        try:
            page = _write_report(self._run, out, self._space, live=True)
        except (BenchError, OSError) as error:  # the run goes on, and writes them again
            self._events("log", line=f"pages: {error}")
        else:
            if first:
                self._events("report", page=str(page))
        spent = time.monotonic() - began
        self._next = began + max(SOONEST_S, 10 * spent)


def _write_report(run: Path, out: Path, space: Workspace, live: bool = False) -> Path:
    from ..analysis.noise_floor import kept
    from ..report.build import build_run
    from ..report.pictures import CocoPictures
    from ..store import read_run
    from ..workspace import cache_root

    read = read_run(run)
    models = {cell.model for cell in read.plan.cells}
    known = inventory_of(space).models
    folders = [known[name].datasets.get(read.info.dataset) for name in models if name in known]
    pictures = CocoPictures.of(folders[0], run) if folders and folders[0] else None
    return build_run(run, out, pictures, lambda device: kept(cache_root(), device), live)
