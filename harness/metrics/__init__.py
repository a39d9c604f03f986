"""How good predictions are against the truth: arrays of `predictions.npz` in, export columns out.

A metric is a module that satisfies `Metric`; third-party scorers are imported inside it. Checks
against the reference, gates, export columns and pages ask here what values there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from . import coco_map, topk
from .value import Value

__all__ = ["FOR_TASK", "REGISTRY", "Metric", "Value", "gates", "headline", "values"]


class Metric(Protocol):
    """A module with the values that it yields, and one function."""

    @property
    def VALUES(self) -> tuple[Value, ...]:  # noqa: N802  # a module's constant
        """The headline's first."""
        ...

    def score(
        self, predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
    ) -> dict[str, float]:
        """VALUES by name over the images that were looked at.

        `truth` is a COCO annotation file, `classes` the model's, whose index is a label. A value
        that is not known, because the truth has no object, is left out.
        """
        ...


REGISTRY: Final[dict[str, Metric]] = {"coco-map": coco_map, "topk": topk}

FOR_TASK: Final[dict[str, str]] = {
    "classification": "topk",
    "detection": "coco-map",
    "instance-segmentation": "coco-map",
}
"""Task -> the metric that scores it."""


def values() -> dict[str, Value]:
    """Every value of every metric by its name, the export column."""
    return {value.name: value for metric in REGISTRY.values() for value in metric.VALUES}


def gates() -> dict[str, Value]:
    """Every value that a scenario may limit, by the key under `gates:`."""
    return {value.gate: value for value in values().values() if value.gate}


def headline(scores: Mapping[str, object]) -> Value | None:
    """The value that stands for all of them: the first that is there."""
    return next(_known(scores), None)


def _known(scores: Mapping[str, object]) -> Iterator[Value]:
    return (value for name, value in values().items() if scores.get(name) is not None)
