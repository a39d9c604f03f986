"""Top-1 and top-5 accuracy of a classifier: how often a true class is the best, or in the best 5.

`top5` is known where every image has as many labels, or one for each class.
"""

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
    title="Top-k accuracy",
    values=(
        Value("top1", "Top-1", held=USUAL, gates=("drop", "min")),
        Value("top5", "Top-5", gates=("drop", "min")),
    ),
)


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """Over the images that show a class of the model; any of an image's classes is right."""
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
    values, enough = {}, min(5, len(classes))
    for k in (1, 5):
        right = sum(
            any(int(names.scored[label]) in true[one] for label in best.get(one, ())[:k])
            for one in looked_at
        )
        values[f"top{k}"] = right / len(looked_at)
    if any(0 < len(best.get(one, ())) < enough for one in looked_at):
        del values["top5"]
    return values


def best_labels(predictions: Mapping[str, NDArray[Any]]) -> dict[int, tuple[int, ...]]:
    """Image id -> labels by score, the highest first; of equals in their order."""
    order = np.argsort(-predictions["score"], kind="stable")
    found: dict[int, tuple[int, ...]] = {}
    pairs = zip(predictions["image_id"][order], predictions["label"][order], strict=True)
    for image_id, label in pairs:
        found[int(image_id)] = (*found.get(int(image_id), ()), int(label))
    return found
