"""`bench compare`, `replay`: whether two results differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import complete
from .command import command
from .shared import (
    AsJson,
    device_named,
    engine_for_models,
    interruptible,
    inventory_of,
    run_project,
    runs_named,
)

if TYPE_CHECKING:
    from ..analysis.compare_runs import Compared

app = typer.Typer()


@command(
    app,
    "Compare two runs or two cells.",
    [
        "bench compare 20261121T104300-rio latest --fail-if-slower",
        "bench compare latest --cells onnx-fp32 onnx-fp16",
    ],
)
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Ids or folders: first old, then new.",
            autocompletion=complete.runs,
        ),
    ],
    cells: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B", help="Two cells by id, glob or part of an id: first old, then new."
        ),
    ] = None,
    same: Annotated[
        float, typer.Option(metavar="PERCENT", help="Differences below this are `same` (95 % CI).")
    ] = 2.0,
    fail_if_slower: Annotated[
        bool,
        typer.Option(
            "--fail-if-slower",
            help="Exit code 1 if a cell is slower or lost its result, or none was compared.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Compare two runs or two cells: ratio with 95 % CI, verdict, and what else differs."""
    from ..analysis import compare_runs, noise_floor
    from ..store import read_run
    from ..workspace import cache_root

    if len(runs) > 2 or (len(runs) == 1 and cells is None):
        raise UsageError(
            f"compare: expected two runs, got {len(runs)}",
            "Name two runs, or one run and --cells A B.",
        )
    old, new = (read_run(folder) for folder in runs_named((runs[0], runs[-1])))
    done = (
        compare_runs.compare_named(old, new, cells, same)
        if cells
        else compare_runs.compare_runs(old, new, same)
    )
    done = noise_floor.with_notes(done, cache_root())
    _show(done, json)
    raise typer.Exit(1 if fail_if_slower and (done.slower or done.lost or not done.told) else 0)


def _show(compared: Compared, json: bool) -> None:
    from ..serial import dumps
    from . import comparison_text, console

    if json:
        console.json_text(dumps(compared))
        return
    rows = comparison_text.comparison_rows(compared)
    console.show_rows(f"{compared.old} → {compared.new}", comparison_text.COLUMNS, rows)
    for line in comparison_text.comparison_notes(compared):
        console.say(line)


@command(
    app,
    "Measure a cell of a run again.",
    ["bench replay runs/20261122T104300-rio/cells/rio-onnx-fp32-local-t1-b1"],
)
def replay(
    cell: Annotated[Path, typer.Argument(metavar="CELL_DIR", help="runs/RUN/cells/CELL.")],
    trials: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="N", help="1 to 100; default: same as before."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Device name; default: same as before.",
            autocompletion=complete.devices,
        ),
    ] = "",
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="NAME",
            help="Default: same as before.",
            autocompletion=complete.engines,
        ),
    ] = "",
    json: AsJson = False,
) -> None:
    """Measure a cell of a run again, optionally on another device, and compare the results.

    Exit code 1: the new measurement failed or is invalid."""
    from ..analysis import noise_floor
    from ..analysis.compare_runs import Compared
    from ..analysis.differences import run_differences
    from ..run import replay
    from ..run.pipeline import new_run_id
    from ..store import read_run
    from ..targets.target import connected
    from ..workspace import cache_root
    from . import console

    if not cell.is_dir():
        raise UsageError(f"{cell}: no such folder", "Name a folder runs/RUN/cells/CELL.")
    original = replay.read_original(cell)
    space = run_project(original.run.folder)
    inventory = inventory_of(space)
    spec = device_named(inventory, device or original.result.cell.device)
    cache = cache_root()
    chosen = engine_for_models(engine, original.run.info.engine)
    interruptible()
    try:
        with connected(spec, chosen, cache, cache / "logs", new_run_id("replay")) as target:
            done = replay.replay(
                original, inventory.models, target, cache, space.runs, trials, console.note_trial
            )
    finally:
        chosen.close()
    old, new = original.run.info, read_run(done.folder).info
    compared = Compared(old.run_id, new.run_id, 2.0, run_differences(old, new), (done.pair,))
    _show(noise_floor.with_notes(compared, cache), json)
    raise typer.Exit(0 if compared.told else 1)
