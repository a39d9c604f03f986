"""Reads values of annotation files: tools write numbers as text and null as NaN.

Also formats values for messages.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

LARGEST: Final = 1e15
"""Upper bound of coordinates; NaN and infinity are not below it."""
LARGEST_ID: Final = 2**63 - 1
_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")


def missing(value: Any) -> bool:
    """Whether it is empty: null, an empty string, list or object, or NaN as pandas writes it."""
    if value is None or (isinstance(value, (str, list, dict)) and not value):
        return True
    return isinstance(value, float) and math.isnan(value)


def whole(value: Any) -> int | None:
    """`17`, `"17"` and `17.0` as 17; None for anything else, or beyond int64."""
    if type(value) is int:  # by far the most common: a file has 100,000 ids
        return value if abs(value) <= LARGEST_ID else None
    text = isinstance(value, str) and _WHOLE.fullmatch(value)
    if text or (isinstance(value, float) and abs(value) < 2**53 and value.is_integer()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID:
        return value
    return None


def number(value: Any) -> float | None:
    """`1.5` and `"1.5"` as 1.5; None for anything else, NaN, or beyond LARGEST."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if -LARGEST < value < LARGEST else None
    return None


def numbers(value: Any) -> tuple[float, ...] | None:
    """A list of numbers; None if it is anything else."""
    if not isinstance(value, list):
        return None
    if set(map(type, value)) == {float} and -LARGEST < sum(map(abs, value)) < LARGEST:
        return tuple(value)  # most of all: a file has millions
    found = tuple(map(number, value))
    return None if None in found else found  # type: ignore[return-value]


def shown(value: Any, most: int = 60) -> str:
    """`value` as JSON, cut to fit a line; `nothing` for one that is missing."""
    if value is None:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def few(values: list[Any] | tuple[Any, ...], most: int = 10) -> str:
    """The first of them, and the number of others."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
