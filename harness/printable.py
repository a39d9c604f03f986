"""Text of others made safe to print: no terminal colours, no control characters."""

from __future__ import annotations

import re
from typing import Final

#: sequences of terminals, whole: colours and cursor (CSI), titles and links (OSC and its like, to
#: the line's end where they have none), character sets, the short ones
_SEQUENCES = re.compile(
    r"(?:\x1b\[[0-?]*|\x9b[0-?]+)[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[#%(-/][0-~]|\x1b[@-_78=>c]?"
)
#: C0 and DEL but tab and newline, C1, what turns the order of letters around, lone surrogates, and
#: what XML 1.0 has no place for
_OTHERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
#: of a line of others in a message, characters; and what is looked through for it, bytes
LONGEST_LINE: Final = 300
_END_BYTES: Final = 64 << 10


def printable(text: str) -> str:
    """`text` without what a terminal or an XML reader would take for something else."""
    return _OTHERS.sub("", _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    """`text` for a message: its blanks and line breaks as single blanks, and not too much of it."""
    line = " ".join(text[: 2 * LONGEST_LINE].split())
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def last_line(said: bytes | str) -> str:
    """The last line of an output that says anything, as a message shows it; empty without one."""
    end = said[-_END_BYTES:]
    text = end if isinstance(end, str) else end.decode("utf-8", "backslashreplace")
    lines = (printable(line) for line in reversed(text.splitlines()))
    return next((one_line(line) for line in lines if line.strip()), "")
