"""Makes output of other programs safe to print: no escape sequences, no control characters."""

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
#: C0 and DEL except tab and newline, C1, characters that reorder text, lone surrogates, and those
#: that XML 1.0 forbids
_OTHERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
#: maximum length of an external line in a message, characters; and bytes searched for it
LONGEST_LINE: Final = 300
_END_BYTES: Final = 64 << 10


def printable(text: str) -> str:
    """`text` without escape sequences and characters that XML forbids."""
    return _OTHERS.sub("", _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    """`text` for a message: in one line, with single spaces, and truncated."""
    line = " ".join(text[: 2 * LONGEST_LINE].split())
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def last_line(said: bytes | str) -> str:
    """The last line of an output that is not empty, for a message; empty if there is none."""
    end = said[-_END_BYTES:]
    text = end if isinstance(end, str) else end.decode("utf-8", "backslashreplace")
    lines = (printable(line) for line in reversed(text.splitlines()))
    return next((one_line(line) for line in lines if line.strip()), "")
