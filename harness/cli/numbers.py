"""`bench compare`, `replay`, `check-noise`: what two numbers, or one device, are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .shared import (
    AsJson,
    Engine,
    device_named,
    interruptible,
    inventory_of,
    workspace,
)

if TYPE_CHECKING:
    from ..analysis.compare_runs import Compared
    from ..run.pipeline import Request
    from ..workspace import Workspace

app = typer.Typer()


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN [RUN]", help="Ids or folders: the old, the new.")
    ],
    cells: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two cells, by id, glob or part: the old, the new."),
    ] = None,
    same: Annotated[
        float, typer.Option(metavar="PERCENT", help="A difference surely under this is `same`.")
    ] = 2.0,
    fail_if_slower: Annotated[
        bool,
        typer.Option(
            "--fail-if-slower",
            help="Exit code 1 when any cell is slower, has lost its number, or none is compared.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Compare two runs, or two cells: ratio with interval, verdict, and what else differs."""
    from ..analysis import compare_runs, noise_floor
    from ..store import find_run, read_run
    from ..workspace import cache_root

    if len(runs) > 2 or (len(runs) == 1 and cells is None):
        raise UsageError("compare takes two runs, or one with --cells A B")
    space = workspace()
    old, new = (read_run(find_run(space.runs, name)) for name in (runs[0], runs[-1]))
    done = (
        compare_runs.compare_named(old, new, cells, same)
        if cells
        else compare_runs.compare_runs(old, new, same)
    )
    done = noise_floor.noted(done, cache_root())
    _show(done, json)
    raise typer.Exit(1 if fail_if_slower and (done.slower or done.lost or not done.told) else 0)


def _show(compared: Compared, json: bool) -> None:
    from ..serial import dumps
    from . import comparison_text, console

    if json:
        print(dumps(compared))
        return
    rows = comparison_text.comparison_rows(compared)
    console.show_rows(f"{compared.old} → {compared.new}", comparison_text.COLUMNS, rows)
    for line in comparison_text.comparison_notes(compared):
        console.say(line)


@app.command()
def replay(
    cell: Annotated[Path, typer.Argument(metavar="CELL_DIR", help="runs/RUN/cells/CELL.")],
    trials: Annotated[
        int | None, typer.Option(min=1, max=100, help="Default: as many as before.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="A file of devices/; default: the run's own.")
    ] = "",
    engine: Annotated[str, typer.Option("--engine", help="Default: the run's own.")] = "",
    json: AsJson = False,
) -> None:
    """Measure one cell of a run again, here or elsewhere, and say whether the two agree.

    Exit code 1 when there is nothing to compare, since the repetition failed or is invalid."""
    from ..analysis import noise_floor
    from ..analysis.compare_runs import Compared
    from ..analysis.differences import run_differences
    from ..containers import choose
    from ..run import replay
    from ..run.pipeline import new_run_id
    from ..store import read_run
    from ..targets.target import connected
    from ..workspace import cache_root
    from . import console

    space = workspace()
    original = replay.read_original(cell)
    inventory = inventory_of(space)
    spec = device_named(inventory, device or original.result.cell.device)
    cache = cache_root()
    chosen = choose(engine or original.run.info.engine)
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
    _show(noise_floor.noted(compared, cache), json)
    raise typer.Exit(0 if compared.told else 1)


@app.command("check-noise")
def check_noise(
    device: Annotated[str, typer.Option(help="A file of devices/.")] = "local",
    model: Annotated[str, typer.Option(help="Default: the first there is.")] = "",
    format: Annotated[str, typer.Option("--format", "-f")] = "onnx",
    profile: Annotated[str, typer.Option(help="quick or full.")] = "full",
    engine: Engine = "auto",
    json: AsJson = False,
) -> None:
    """Measure one cell against itself: how small a change a device shows, what disturbs it."""
    from ..analysis import host_noise, noise_floor
    from ..run import pipeline
    from ..runner.job import TRIALS, TRUSTED
    from ..serial import dumps
    from ..workspace import cache_root
    from . import comparison_text, console

    if profile not in TRUSTED:
        raise UsageError(f"--profile {profile}: is not one of {', '.join(TRUSTED)}")
    space = workspace()
    source = cache_root() / "noise" / f"{device}.yaml"
    source.parent.mkdir(parents=True, exist_ok=True)
    chosen = model or next(iter(space.models()), "")
    source.write_text(
        noise_floor.scenario(chosen, format, device, profile, TRIALS[profile]), "utf-8"
    )
    request = _noise_request(source, space, engine)
    before = host_noise.read_cpu_time()
    interruptible()
    with console.JsonProgress() if json else console.LiveProgress(request.plan) as progress:
        run = pipeline.execute(request, progress)
    steal = host_noise.steal_percent(before, host_noise.read_cpu_time())
    local = request.devices[device].transport == "local"
    found = noise_floor.analyse(
        run, *((host_noise.read_machine(), steal) if local else (None, None))
    )
    path = noise_floor.keep(cache_root(), found)
    if json:
        print(dumps(found))
        return
    for line in comparison_text.noise_lines(found):
        console.say(line)
    console.note(f"kept in {path}")


def _noise_request(path: Path, space: Workspace, engine: str) -> Request:
    from ..containers import choose
    from ..run import pipeline
    from ..scenario import config
    from ..scenario import plan as plans
    from ..workspace import cache_root

    source = config.read_scenario(path)
    inventory = inventory_of(space)
    made = plans.make_plan(source, inventory)
    if not made.cells:
        raise UsageError(f"{made.skipped[0].cell.id}: {made.skipped[0].reason}")
    return pipeline.Request(
        scenario=source,
        plan=made,
        models=inventory.models,
        devices=inventory.devices,
        engine=choose(engine),
        cache=cache_root(),
        folder=space.runs / pipeline.new_run_id("noise"),
        command="bench check-noise",
    )
