"""The command line: reads arguments, calls one function, returns its exit code.

Exit codes: 0 ok, 1 a cell or gate failed, 2 usage or config, 130 interrupted and resumable.
Everything heavy is imported inside the commands, so that `bench --help` is quick.
"""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from ..errors import BenchError, ConfigError, UsageError
from . import (
    datasets,
    devices,
    images,
    jobs,
    lab,
    mistakes,
    noise,
    numbers,
    planning,
    project,
    runs,
    settings,
)
from .command import NoColor, Project, Quiet, Verbose, epilog, options
from .shared import Interrupted

#: errno of a full disk or a missing permission; anything else is a bug
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
INTERRUPTED = 130
SHORT = "Measure a model in every format, at every precision, on every device."
EXAMPLES = (
    "bench doctor                         check this machine",
    "bench init cards                     start a project for your own model",
    "bench plan scenarios/rio.yaml        show what would run",
    "bench run scenarios/rio.yaml         run it",
    "bench open                           open the newest report in the browser",
)

app = typer.Typer(
    name="bench",
    help=SHORT,
    epilog=epilog(EXAMPLES),
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def bench(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    quiet: Quiet = None,
    verbose: Verbose = None,
    no_color: NoColor = None,
    project: Project = None,
) -> None:
    """Without a command: print the help."""
    options(quiet, verbose, no_color, project)
    if context.invoked_subcommand is None:
        print(context.get_help())


for commands in (jobs, planning, numbers, noise, runs, project):
    app.add_typer(commands.app)
app.add_typer(runs.group_app, name="runs")
app.add_typer(images.app, name="images")
app.add_typer(datasets.app, name="dataset")
app.add_typer(devices.app, name="devices")
app.add_typer(lab.app, name="lab")


def main() -> NoReturn:
    """Entry point: no traceback for a user's mistake, and an exit code for everything."""
    settings.set_all(settings.Settings())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without a character shows another
            stream.reconfigure(errors="replace")
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(prog_name="bench", standalone_mode=False)
    except Interrupted as stop:
        return _interrupted(str(stop))
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted("interrupted")
    except typer.TyperException as error:
        return _fail(mistakes.usage_error(error))
    except BenchError as error:
        return _fail(error)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno == errno.EIO:  # the terminal has gone with its session
            return INTERRUPTED
        if error.errno not in REFUSED:
            return mistakes.show_bug(error)
        message = f"{error.filename or 'a file'}: {error.strerror}"
        return _fail(
            BenchError(message, "Free some space or grant access, then continue with --resume.")
        )
    except Exception as error:  # the boundary: reported as a bug, with its traceback in a file
        return mistakes.show_bug(error)
    if code == INTERRUPTED:  # the parser turned Ctrl-C into an exit
        return _interrupted("interrupted")
    return code if isinstance(code, int) else 0


def _interrupted(text: str) -> int:
    with suppress(OSError):  # the terminal has gone with its session
        print(text, file=sys.stderr)
    return INTERRUPTED


def _fail(error: BenchError) -> int:
    from . import console

    if isinstance(error, ConfigError):
        error.hint = error.hint or "Correct the file, then check it with `bench plan`."
    if isinstance(error, UsageError):
        error.hint = error.hint or f"See `{settings.current().command} --help`."
    console.show_error(error)
    return 2 if isinstance(error, (ConfigError, UsageError)) else 1
