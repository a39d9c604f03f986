"""`bench runs`, `du`, `prune`: list, measure and delete what is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import complete
from .command import callback, command, group
from .deleting import show_and_delete
from .shared import AsJson, DryRun, Engine, Yes, project_with_runs, workspace

if TYPE_CHECKING:
    from ..housekeeping.deletion import Deletion
    from ..housekeeping.runs import StoredRun
    from ..workspace import Workspace

#: kinds of things that `bench prune` deletes
WHAT = ("runs", "images", "cache")

app = typer.Typer()
group_app = group(
    "List or delete runs.",
    ["bench runs", "bench runs --json", "bench runs rm 20261122T104300-rio"],
    no_args_is_help=False,
)


@callback(group_app)
def runs_list(context: typer.Context, json: AsJson = False) -> None:
    """List the project's runs, newest first, with their cells, verdicts and sizes."""
    from ..housekeeping.runs import stored_runs
    from . import console, stored_text

    if context.invoked_subcommand:
        return
    space = project_with_runs()
    found = stored_runs(space.runs)
    if json:
        for one in found:
            console.json_line(stored_text.run_record(one))
        return
    if not found:
        console.say("no runs yet; start one with `bench run SCENARIO`")
        return
    columns, rows = stored_text.run_table(found, time.time(), console.out().width)
    console.show_rows("", columns, rows)
    for note in stored_text.run_notes(found):
        console.say(note)


@command(
    group_app,
    "Delete runs.",
    ["bench runs rm 20261122T104300-rio", "bench runs rm RUN RUN --yes"],
    name="rm",
)
def runs_rm(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Ids, or `latest`.", autocompletion=complete.runs),
    ],
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also delete unfinished runs.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Delete runs by id. Shows them and asks first; reports are kept."""
    from ..housekeeping.deletion import of_runs

    space = project_with_runs()
    chosen = [_own_run(space, name) for name in dict.fromkeys(names)]
    open_ones = [run.id for run in chosen if run.finished_at is None]
    if open_ones and not unfinished:
        raise UsageError(
            f"{', '.join(open_ones)}: unfinished (interrupted or still running)",
            "Resume the run, or delete it with --unfinished.",
        )
    show_and_delete(of_runs(space.runs, chosen), dry_run=dry_run, yes=yes)


@command(app, "Show the disk usage of runs, images and the cache.", ["bench du", "bench du --json"])
def du(engine: Engine = "auto", json: AsJson = False) -> None:
    """Show the disk usage of the project's runs and reports, the images, and the cache."""
    from ..housekeeping import usage
    from ..workspace import cache_root
    from . import console, stored_text

    space = workspace()
    rows = usage.all_usages(space, cache_root(), engine)
    if json:
        for row in rows:
            console.json_line(stored_text.usage_record(row))
        return
    console.note(f"project: {space.project}")
    console.show_rows("", stored_text.USAGE_COLUMNS, [stored_text.usage_row(row) for row in rows])


@command(
    app,
    "Delete old runs, images and cache entries.",
    [
        "bench prune --dry-run",
        "bench prune runs --older-than 30d --keep-last 5",
        "bench prune images cache --older-than 4w --yes",
    ],
)
def prune(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT",
            help="runs, images, cache; default: all three.",
            autocompletion=complete.kept,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="AGE", help="Only older runs and cache entries: 12h, 30d, 4w."
        ),
    ] = None,
    keep_last: Annotated[
        int | None,
        typer.Option(
            "--keep-last", min=0, metavar="N", help="Keep the N newest runs of each scenario."
        ),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also delete unfinished runs.")
    ] = False,
    engine: Engine = "auto",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Delete old runs of the project, outdated images, and unused cache entries.

    What would go is shown first, and asked for. Runs go only with --older-than or --keep-last.
    Without --older-than, only what failed or interrupted steps left goes from the cache.
    """
    from ..housekeeping import deletion
    from ..workspace import cache_root
    from .human import read_age

    kinds = _kinds(what or [])
    age_s = read_age(older_than) if older_than else None
    by_rule = age_s is not None or keep_last is not None
    if "runs" in kinds and what and not by_rule:
        raise UsageError("prune runs: no runs selected", "Pass --older-than AGE or --keep-last N.")
    found: list[Deletion] = []
    if "runs" in kinds and by_rule:
        runs = project_with_runs().runs
        found += deletion.of_old_runs(runs, age_s, keep_last, unfinished)
    if "images" in kinds:
        found += deletion.of_old_images(engine)
    if "cache" in kinds:
        found += deletion.of_cache(cache_root(), workspace().runs, age_s)
    show_and_delete(found, dry_run=dry_run, yes=yes)


def _kinds(what: list[str]) -> tuple[str, ...]:
    for name in what:
        if name not in WHAT:
            raise UsageError(
                f"prune {name}: unknown kind",
                "Name runs, images or cache, or omit the argument for all three.",
            )
    return tuple(what) or WHAT


def _own_run(space: Workspace, name: str) -> StoredRun:
    """A run in the project's folder: nothing else is ever deleted."""
    from ..housekeeping.runs import stored_run
    from ..store import find_run

    folder = find_run(space.runs, name)
    if folder.parent.resolve() != space.runs.resolve():
        raise UsageError(
            f"{name}: not a run in {space.runs}", "Name a run of this project, or pass --project."
        )
    return stored_run(space.runs / folder.name)
