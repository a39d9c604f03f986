"""All terminal output. Results go to stdout, progress and log to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..errors import BenchError
from ..printable import printable
from . import settings

#: control characters that JSON itself does not escape
_CONTROLS = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: columns of what is not a terminal: a file or a pipe does not wrap
WIDE = 160
#: below so many columns tables leave less air between their own
NARROW = 100


def is_terminal(stream: object) -> bool:
    """Whether a person sees it as it is written: what is drawn again and again belongs there only.

    FORCE_COLOR gives a log its colours, and does not make it a terminal.
    """
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") != "dumb"


def out() -> Console:
    """Results."""
    return _console(stderr=False)


def err() -> Console:
    """Progress, notes and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    plain = not settings.current().color or bool(os.environ.get("NO_COLOR"))
    return Console(
        stderr=stderr,
        highlight=False,
        emoji=False,
        width=None if is_terminal(sys.stderr if stderr else sys.stdout) else WIDE,
        color_system=None if plain else "auto",
    )


def show_error(error: BenchError) -> None:
    """What happened, then what to do next."""
    show_failure("error", error.message, error.hint)


def show_failure(kind: str, message: str, hint: str) -> None:
    """`error: …` or `bug: …`, then what to do next."""
    err().print(f"[bold red]{kind}:[/] {plain(message)}", soft_wrap=True)
    if hint:
        err().print(f"[dim]→[/] {plain(hint)}", soft_wrap=True)


def show_rows(title: str, columns: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout."""
    to = out()
    gap = 1 if to.width < NARROW else 2
    table = Table(
        title=plain(title) or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in body:
        table.add_row(*(plain(text) for text in line))
    to.print(table)


def plain(text: str) -> str:
    """Text of others for a terminal: nothing in it is taken for a colour or a command."""
    return escape(printable(text))


def say(text: str) -> None:
    """One line of result on stdout."""
    out().print(plain(text), soft_wrap=True)


def styled(style: str, text: str) -> None:
    """One line of result on stdout in one style."""
    out().print(Text(printable(text), style=style), soft_wrap=True)


def note(text: str) -> None:
    """One line for the person on stderr; not with --quiet."""
    if not settings.current().quiet:
        err().print(plain(text), soft_wrap=True)


def detail(text: str) -> None:
    """One line of a log on stderr, with --verbose."""
    if settings.current().verbose:
        err().print(f"[dim]{plain(text)}[/]", soft_wrap=True)


def note_trial(index: int, count: int) -> None:
    """One line when a trial begins."""
    note(f"trial {index + 1}/{count}")


def json_line(record: Any) -> None:
    """One JSON object a line, at once."""
    json_text(json.dumps(record, ensure_ascii=False))


def json_text(text: str) -> None:
    """JSON on stdout; terminal control characters become JSON escapes of the same meaning."""
    print(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)
