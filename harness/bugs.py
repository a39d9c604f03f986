"""What is said of an exception that bench did not expect: one line, and a text for an issue."""

from __future__ import annotations

import platform
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from . import __version__
from .printable import printable

#: longest line, characters
LONGEST = 300


@dataclass(frozen=True)
class BugReport:
    """`line` for a result, `text` for a file: ready to be pasted into an issue."""

    line: str
    text: str


def bug_report(error: BaseException, doing: str) -> BugReport:
    """`doing` says what was going on: `parity of rio-onnx-fp32-local-t1-b1`."""
    said = " ".join(printable(str(error)).split())
    line = f"bug: {type(error).__name__}: {said}" if said else f"bug: {type(error).__name__}"
    trace = "".join(traceback.format_exception(error))
    text = (
        f"bench {__version__}: unexpected {type(error).__name__} in {doing}\n\n"
        f"Python {platform.python_version()} on {platform.platform()}\n"
        f"Command: {_shortened(' '.join(sys.argv))}\n\n"
        f"```\n{printable(_shortened(trace))}```\n"
    )
    return BugReport(line[:LONGEST], text)


def _shortened(text: str) -> str:
    """Without the user's name: the home folder as `~`."""
    home = str(Path.home())
    return text.replace(home + "/", "~/") if home != "/" else text
