"""How good predictions are against the truth: arrays of `predictions.npz` in, export columns out.

A metric is a module that satisfies `Metric`; third-party scorers are imported inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from . import coco_map, topk


class Metric(Protocol):
    """A module with one function."""

    def score(
        self, predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
    ) -> dict[str, float]:
        """Columns of the export over the pictures that were looked at, each in 0..1.

        `truth` is a COCO annotation file, `classes` the model's, whose index is a label. A column
        that has no value, because the truth has no object, is left out.
        """
        ...


REGISTRY: Final[dict[str, Metric]] = {"coco-map": coco_map, "topk": topk}

FOR_TASK: Final[dict[str, str]] = {
    "classification": "topk",
    "detection": "coco-map",
    "instance-segmentation": "coco-map",
}
"""Task -> the metric that scores it."""
