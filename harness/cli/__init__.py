"""The command line: reads arguments, calls one function, turns its end into an exit code.

Exit: 0 ok, 1 a cell failed or a gate broke, 2 usage or config, 130 interrupted and resumable.
Everything heavy is imported inside the commands, so that `bench --help` is quick.
"""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

import typer

from ..errors import BenchError, ConfigError, UsageError
from . import devices, images, jobs, lab, numbers, project
from .shared import Interrupted

#: what an operating system says that has no room or no permission; anything else is a bug
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

app = typer.Typer(
    name="bench",
    help="Measure one model in every format, at every precision, on every device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for commands in (jobs, numbers, project):
    app.add_typer(commands.app)
app.add_typer(images.app, name="images")
app.add_typer(lab.app, name="lab")
app.add_typer(devices.app, name="devices")


def main() -> NoReturn:
    """Entry point: no traceback for a user's mistake, the right exit code for all."""
    try:
        app()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BenchError as error:
        sys.exit(_fail(error))
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        what = f"{error.filename or 'a file'}: {error.strerror}"
        sys.exit(_fail(BenchError(what, "What was measured is kept; `--resume` goes on from it.")))
    sys.exit(0)


def _fail(error: BenchError) -> int:
    from . import console

    console.show_error(error)
    return 2 if isinstance(error, (ConfigError, UsageError)) else 1
