"""Top-1 accuracy of a classifier: the share of images whose top class is correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .class_names import check_labels, class_map
from .spec import USUAL, MetricSpec, Value
from .truth import read

SPEC = MetricSpec(
    title="Top-k accuracy", values=(Value("top1", "Top-1", held=USUAL, gates=("drop", "min")),)
)


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """`top1` over the images with a class of the model; any of an image's classes is correct."""
    annotated = read(truth)
    names = class_map(annotated, classes)
    check_labels(predictions["label"], len(classes))
    true: dict[int, set[int]] = {}
    for one in annotated.annotations:
        if one.category_id in names.labels:
            true.setdefault(one.image_id, set()).add(names.labels[one.category_id])
    looked_at = [one for one in predictions["image_size"][:, 0].tolist() if one in true]
    if not looked_at:
        return {}
    best = best_labels(predictions)
    right = sum(one in best and int(names.scored[best[one]]) in true[one] for one in looked_at)
    return {"top1": right / len(looked_at)}


def best_labels(predictions: Mapping[str, NDArray[Any]]) -> dict[int, int]:
    """Image id -> label with the highest score; ties: the first."""
    order = np.argsort(-predictions["score"], kind="stable")
    ids, labels = predictions["image_id"][order], predictions["label"][order]
    unique, first = np.unique(ids, return_index=True)
    return dict(zip(unique.tolist(), labels[first].tolist(), strict=True))
