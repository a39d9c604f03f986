"""The model's classes and the annotations' categories, matched by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .json_values import few
from .truth import Truth


@dataclass(frozen=True)
class ClassMap:
    """`labels`: category id -> label; `scored` (n,): label -> the label that it counts as, or -1.

    Categories that share a name are one class, and so are labels that do.
    """

    labels: dict[int, int]
    scored: NDArray[np.int64]


def class_map(truth: Truth, classes: Sequence[str]) -> ClassMap:
    """Raises ConfigError when no class of the model is among the annotations."""
    first: dict[str, int] = {}
    for label, name in enumerate(classes):
        first.setdefault(name.strip(), label)
    names = {one.name for one in truth.categories}
    if classes and not any(name in names for name in first):
        raise ConfigError(
            [
                f"{truth.path}: class {name!r} of the model is not among the categories"
                for name in classes
            ],
            f"Rename the model's classes to match {few(sorted(map(repr, names)))}.",
        )
    labels = {one.id: first[one.name] for one in truth.categories if one.name in first}
    scored = [first[name.strip()] if name.strip() in names else -1 for name in classes]
    return ClassMap(labels, np.array(scored, np.int64))


def check_labels(labels: NDArray[np.int32], count: int) -> None:
    """Raises ConfigError for labels beyond `count` classes: all might be off by one."""
    if len(labels) and not (labels.min() >= 0 and labels.max() < count):
        what = (
            f"predicted label {max(labels.max(), -labels.min())}, but the model has {count} classes"
        )
        raise ConfigError([what], "List every class of the model in model.yaml.")


def class_notes(truth: Truth, classes: Sequence[str]) -> tuple[str, ...]:
    """What is not scored because the model and the annotations have different classes."""
    found = class_map(truth, classes)
    used = {one.category_id for one in truth.annotations}
    other = [one.name for one in truth.categories if one.id in used - set(found.labels)]
    pairs = zip(classes, found.scored.tolist(), strict=True)
    unknown = [_meant(name, other) for name, scored in pairs if scored < 0]
    notes = []
    if other:
        notes.append(f"annotated classes that the model lacks are not scored: {few(other)}")
    if unknown:
        notes.append(f"classes without annotations are not scored: {few(unknown)}")
    if not used & set(found.labels):
        notes.append("no annotation has one of the model's classes; nothing is scored")
    return tuple(notes)


def _meant(name: str, others: Sequence[str]) -> str:
    """The name, with a category of a similar name."""
    folded = {one.casefold(): one for one in others}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.8)
    return f"{name} (did you mean '{folded[close[0]]}'?)" if close else name
