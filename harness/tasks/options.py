"""Task settings that a model's `task_options` may override, with their defaults."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from ..records import ModelSpec

#: thresholds that every task has
COMMON: Tuple[str, ...] = ("score_threshold", "accuracy_score_threshold")
DEFAULTS: dict[str, float] = {
    "max_detections": 100,
    "nms_iou": 0.7,
    "score_threshold": 0.25,
    "accuracy_score_threshold": 0.01,
    "top_k": 5,
    "resize": 0,
    "class_offset": 0,
    "pad": 114,
    "anchor_offset": 0.5,
}


def number(spec: ModelSpec, name: str) -> float:
    """The model's setting `name`, or its default; raises TypeError if it is not a number."""
    value = spec.task_options.get(name, DEFAULTS[name])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"model {spec.name}: task_options.{name}: {value!r} is not a number")
    return float(value)


def choice(spec: ModelSpec, name: str, allowed: Sequence[str], default: str) -> str:
    """The model's setting `name`; raises ValueError for one that is not allowed."""
    value = spec.task_options.get(name, default)
    if value not in allowed:
        raise ValueError(
            f"model {spec.name}: options.{name}: {value!r} is not one of {', '.join(allowed)}"
        )
    return str(value)


def numbers(spec: ModelSpec, name: str, default: Sequence[float] = ()) -> List[float]:
    """The model's list `name`; a single number is a list of it. Raises TypeError for others."""
    value = spec.task_options.get(name, tuple(default))
    found = value if isinstance(value, (list, tuple)) else (value,)
    if not found or not all(is_number(one) for one in found):
        raise TypeError(f"model {spec.name}: options.{name}: {value!r} is not a list of numbers")
    return [float(one) for one in found]  # type: ignore[arg-type]


def positive(spec: ModelSpec, name: str) -> List[float]:
    """The model's list `name`; raises ValueError for one below 1."""
    found = numbers(spec, name)
    if min(found) < 1:
        raise ValueError(f"model {spec.name}: options.{name}: {min(found):g} is less than 1")
    return found


def per_channel(spec: ModelSpec, name: str, count: int) -> List[float]:
    """The model's list `name`, one number or `count`; raises ValueError for others."""
    found = numbers(spec, name)
    if len(found) not in (1, count):
        raise ValueError(
            f"model {spec.name}: options.{name}: expected 1 or {count} numbers, got {len(found)}"
        )
    return found


def levels(spec: ModelSpec, name: str, by: str) -> List[List[float]]:
    """Pairs of numbers for each entry of the list `by`; a flat list is shared out evenly.

    Raises ValueError where there are not as many lists, or a list that is no pairs.
    """
    value, count = spec.task_options.get(name, ()), len(numbers(spec, by))
    rows: List[Tuple[object, ...]] = []
    if isinstance(value, (list, tuple)):
        if value and all(is_number(one) for one in value):
            each = max(1, len(value) // count)
            rows = [tuple(value[at : at + each]) for at in range(0, len(value), each)]
        else:
            rows = [tuple(one) for one in value if isinstance(one, (list, tuple))]
    pairs = all(len(row) and len(row) % 2 == 0 and all(map(is_number, row)) for row in rows)
    if len(rows) != count or not pairs:
        raise ValueError(
            f"model {spec.name}: options.{name}: expected pairs of width and height for each of "
            f"the {count} {by}"
        )
    return [[float(one) for one in row] for row in rows]  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    """Whether it is one, and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
