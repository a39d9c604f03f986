"""Colours and signs shared by the charts; every colour is a name in the style sheet.

The palette is Okabe and Ito's, distinguishable for colour-blind readers, in light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SYMBOLS: Final = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "star",
    "hexagon",
    "triangle-down",
    "pentagon",
    "bowtie",
)
_PRECISION: Final = {"fp32": 1, "fp16": 2, "int8": 3}
_COLOURS: Final = 7


def precision_colour(precision: str) -> str:
    """The same colour for a precision on every page."""
    return colour(_PRECISION.get(precision, 4))


def colour(number: int) -> str:
    """The style sheet's series colours, 1 to 7, then again."""
    return f"var(--series-{(number - 1) % _COLOURS + 1})"


def plain(text: str) -> str:
    """Text that plotly draws as it is: it would read tags in names."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
