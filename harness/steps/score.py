"""Scores a cell's decoded predictions against its dataset."""

from __future__ import annotations

import math
from pathlib import Path

from .. import tasks
from ..metrics import REGISTRY
from ..records import ModelSpec, Scores
from ..untrusted.results import read_predictions


def score(spec: ModelSpec, predictions: Path, annotations: Path, dataset: str) -> Scores:
    """Score `predictions` (see docs/design.md) over the images that it covers.

    `annotations` is the COCO file of the dataset called `dataset`.
    """
    arrays = read_predictions(predictions)
    name = tasks.REGISTRY[spec.task].METRIC
    metric = REGISTRY[name]
    values = metric.score(arrays, annotations, spec.classes)
    known = {v.name: values[v.name] for v in metric.SPEC.values if v.name in values}
    finite = {key: value for key, value in known.items() if math.isfinite(value)}
    return Scores(dataset, len(arrays["image_size"]), finite, name)
