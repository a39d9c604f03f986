"""`bench plan`: what a scenario would run, what is cached, and how long it takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .command import command
from .shared import AsJson, Engine, Only, ScenarioPath, project_of, workspace

if TYPE_CHECKING:
    from ..preview.estimate import Expected
    from ..preview.summary import Preview
    from ..records import Cell, Plan
    from ..scenario.plan import Inventory
    from ..scenario.scenario import Scenario
    from ..workspace import Workspace

app = typer.Typer()


@dataclass(frozen=True)
class Planned:
    """A scenario with its project and its plan."""

    source: Scenario
    inventory: Inventory
    space: Workspace
    plan: Plan


@command(
    app,
    "Show what a scenario would run, and how long it takes.",
    [
        "bench plan scenarios/rio.yaml",
        "bench plan scenarios/rio.yaml --only '*-fp16-*' --cells",
    ],
)
def plan(
    scenario: ScenarioPath,
    only: Only = [],  # noqa: B006
    cells: Annotated[bool, typer.Option("--cells", help="List the cells, one per line.")] = False,
    engine: Engine = "auto",
    json: AsJson = False,
) -> None:
    """Show what a scenario would run, what is cached, what is skipped and why, and how long
    it takes. Nothing is built, converted or connected."""
    show_plan(planned(scenario, only), engine, cells=cells, json=json)


def planned(path: Path, only: Sequence[str]) -> Planned:
    """Read the scenario and everything it names; raises ConfigError with every mistake."""
    from ..scenario import config
    from ..scenario import plan as plans

    _check_file(path)
    space = project_of(path)
    models, devices = space.models(), space.devices()
    source = config.read_scenario(path, plans.known_names(models, devices))
    inventory = plans.read_inventory(models, devices, wanted=source.models)
    made = plans.make_plan(source, inventory, only)
    notes = plans.dataset_notes(source, inventory)
    return Planned(source, inventory, space, replace(made, notes=(*made.notes, *notes)))


def _check_file(path: Path) -> None:
    """Raises UsageError for a path that cannot be read."""
    try:
        with path.open("rb"):
            return
    except OSError as error:
        from ..scenario.yaml_lines import shown

        known = [shown(one) for one in workspace().scenarios()]
        hint = f"Name one of {', '.join(known[:5])}." if known else "Name a scenario file."
        raise UsageError(f"{path}: {error.strerror}", hint) from None


def forecast(planned: Planned, todo: Sequence[Cell], cached: Collection[str] = ()) -> Expected:
    """How long the cells in `todo` will take; `cached` names tasks that have nothing to do."""
    from ..preview.estimate import expect
    from ..preview.history import read_history

    measuring = planned.source.measuring
    return expect(
        todo,
        planned.inventory.devices,
        planned.inventory.models,
        measuring.options,
        measuring.trials,
        measuring.profile,
        read_history(planned.space.runs),
        cached,
    )


def show_plan(planned: Planned, engine: str, *, cells: bool = False, json: bool = False) -> None:
    """As a matrix, as a list of cells, or as JSON."""
    from . import console, plan_text

    if cells:
        for style, line in plan_text.cell_lines(planned.plan):
            console.styled(style, line)
        return
    found = _preview(planned, engine)
    if json:
        console.json_text(plan_text.as_json(found))
        return
    for style, line in plan_text.lines(found, console.out().width):
        console.styled(style, line)


def _preview(planned: Planned, engine: str) -> Preview:
    from ..containers import choose
    from ..preview.cached import Cached
    from ..preview.summary import preview
    from ..preview.tasks import tasks_of
    from ..workspace import cache_root

    scenario, cells = planned.source, planned.plan.cells
    models, devices = planned.inventory.models, planned.inventory.devices
    chosen = choose(engine)
    try:
        cached = Cached(chosen, cache_root(), models, devices, scenario.accuracy)
        done = cached.names(tasks_of(cells, devices, models), {cell.id: cell for cell in cells})
        expected = forecast(planned, cells, done)
        return preview(scenario, planned.plan, devices, cached, expected)
    finally:
        chosen.close()
