"""Scores predictions against the ground truth: `predictions.npz` in, export columns out.

A metric is a module that satisfies `Metric`; third-party scorers are imported inside it. The rest
of bench (limits, gates, columns, pages) depends only on the metric's `SPEC`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from .. import tasks
from . import coco_map, miou, oks, topk
from .spec import Gate, MetricSpec, Value

__all__ = ["REGISTRY", "Gate", "Metric", "MetricSpec", "Value"]


class Metric(Protocol):
    """A module of this folder."""

    @property
    def SPEC(self) -> MetricSpec: ...

    def score(
        self, predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
    ) -> dict[str, float]:
        """Values by name, each in its `SPEC`, over the images with predictions.

        `truth` is a COCO annotation file, `classes` the model's, whose index is a label. A value
        that cannot be known, because the truth has no object, is left out.
        """
        ...


REGISTRY: Final[dict[str, Metric]] = {
    "coco-map": coco_map,
    "topk": topk,
    "miou": miou,
    "oks": oks,
}


def of_task(task: str) -> Metric | None:
    """The metric that the task names; None if nothing scores it."""
    return REGISTRY.get(tasks.REGISTRY[task].METRIC)


def values() -> dict[str, Value]:
    """Every value of every metric by its name."""
    return {value.name: value for metric in REGISTRY.values() for value in metric.SPEC.values}


def shown() -> tuple[Value, ...]:
    """Values with a column on the front page: each metric's headline, then those with a limit."""
    return tuple(value for metric in REGISTRY.values() for value in metric.SPEC.shown)


def headlines() -> tuple[Value, ...]:
    """Each metric's headline."""
    return tuple(metric.SPEC.headline for metric in REGISTRY.values())


def headline(scores: Mapping[str, object]) -> Value | None:
    """The headline among the values of one cell; None if nothing was scored."""
    return next((value for value in headlines() if scores.get(value.name) is not None), None)


def gates() -> dict[str, Gate]:
    """Every gate that a scenario may set, by key."""
    made = (Gate(value, kind) for value in values().values() for kind in value.gates)
    return {gate.key: gate for gate in made}
