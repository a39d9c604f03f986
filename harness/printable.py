"""Text of others made safe to print: no terminal colours, no control characters."""

from __future__ import annotations

import re

#: sequences of terminals, whole: colours and cursor (CSI), titles and links (OSC and its like, to
#: the line's end where they have none), character sets, the short ones
_SEQUENCES = re.compile(
    r"(?:\x1b\[[0-?]*|\x9b[0-?]+)[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[#%(-/][0-~]|\x1b[@-_78=>c]?"
)
#: C0 and DEL but tab and newline, C1, lone surrogates, and what XML 1.0 has no place for
_OTHERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """`text` without what a terminal or an XML reader would take for something else."""
    return _OTHERS.sub("", _SEQUENCES.sub("", text))
