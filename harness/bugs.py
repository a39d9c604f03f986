"""Reports an unexpected exception: one line, and a text for an issue."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import __version__
from .printable import printable
from .serial import PARSING

#: longest line, characters
LONGEST: Final = 300
#: around the path of a home folder: what would make it a part of another path
_BEFORE: Final = r"(?<![\w/.-])"
_AFTER: Final = r"(?=[/\s\"':,;)]|$)"
#: home folders of other users, too
_HOMES: Final = r"/(?:var/)?home/[^/\s\"':]+|/Users/[^/\s\"':]+|/root"


@dataclass(frozen=True)
class BugReport:
    """`line` for a result, `text` to paste into an issue."""

    line: str
    text: str


def bug_report(error: BaseException, doing: str) -> BugReport:
    """`doing` says what was running: `parity of rio-onnx-fp32-local-t1-b1`. Never raises."""
    kind, said = type(error).__name__, _shortened(" ".join(printable(_message(error)).split()))
    line = f"bug: {kind}: {said}" if said else f"bug: {kind}"
    with PARSING:  # a traceback parses the lines that it shows
        lines = traceback.format_exception(error)
    block = _shortened(printable("".join(lines))).rstrip()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block)), default=0))
    text = (
        f"bench {__version__}: unexpected {kind} in {printable(doing)}\n\n"
        f"Python {platform.python_version()} on {platform.platform()}\n"
        f"Command: {_shortened(printable(_command()))}\n\n"
        f"{fence}\n{block}\n{fence}\n"
    )
    return BugReport(line if len(line) <= LONGEST else line[: LONGEST - 1] + "…", text)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # its own __str__ is broken: one more thing to report
        return f"message unreadable: {type(second).__name__}"


def _command() -> str:
    program, *arguments = sys.argv or ["?"]
    return shlex.join((Path(program).name, *arguments))


def _shortened(text: str) -> str:
    """Hide user names: home folders become `~`."""
    own = os.path.expanduser("~").rstrip("/")  # noqa: PTH111 – Path.home() raises without a home
    homes = f"{re.escape(own)}|{_HOMES}" if own.startswith("/") else _HOMES
    return re.sub(f"{_BEFORE}(?:{homes}){_AFTER}", "~", text)
