"""What is said of an exception that bench did not expect: one line, and a text for an issue."""

from __future__ import annotations

import platform
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from . import __version__

#: longest line, characters
LONGEST = 300
#: C0, DEL, C1 and lone surrogates: nothing of them reaches a terminal or a page
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True)
class BugReport:
    """`line` for a result, `text` for a file: ready to be pasted into an issue."""

    line: str
    text: str


def bug_report(error: BaseException, doing: str) -> BugReport:
    """`doing` says what was going on: `parity of rio-onnx-fp32-local-t1-b1`."""
    said = UNPRINTABLE.sub(" ", str(error)).strip()
    line = f"bug: {type(error).__name__}: {said}" if said else f"bug: {type(error).__name__}"
    trace = "".join(traceback.format_exception(error))
    text = (
        f"bench {__version__}: unexpected {type(error).__name__} in {doing}\n\n"
        f"Python {platform.python_version()} on {platform.platform()}\n"
        f"Command: {_shortened(' '.join(sys.argv))}\n\n"
        f"```\n{_printable(_shortened(trace))}```\n"
    )
    return BugReport(line[:LONGEST], text)


def _shortened(text: str) -> str:
    """Without the user's name: the home folder as `~`."""
    home = str(Path.home())
    return text.replace(home + "/", "~/") if home != "/" else text


def _printable(text: str) -> str:
    return "\n".join(UNPRINTABLE.sub(" ", line) for line in text.split("\n"))
