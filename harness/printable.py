"""Text of others made safe to print: no terminal colours, no control characters."""

from __future__ import annotations

import re

#: CSI and OSC sequences of terminals, whole
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]?")
#: C0 and DEL but tab and newline, C1, lone surrogates, and what XML 1.0 has no place for
_OTHERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """`text` without what a terminal or an XML reader would take for something else."""
    return _OTHERS.sub("", _SEQUENCES.sub("", text))
