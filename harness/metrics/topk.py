"""Top-1 accuracy of a classifier: the share of pictures whose best class is the true one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .truth import category_ids


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """`top1`; a picture's true class is the category of its annotation, one for each picture."""
    content = json.loads(truth.read_text(encoding="utf-8"))
    category = {one["image_id"]: one["category_id"] for one in content["annotations"]}
    looked_at = [one for one in predictions["image_size"][:, 0].tolist() if one in category]
    if not looked_at:
        return {}
    categories = category_ids(content["categories"], classes)
    best = best_labels(predictions)
    right = sum(one in best and int(categories[best[one]]) == category[one] for one in looked_at)
    return {"top1": right / len(looked_at)}


def best_labels(predictions: Mapping[str, NDArray[Any]]) -> dict[int, int]:
    """Image id -> label with the highest score; of equals the first."""
    order = np.argsort(-predictions["score"], kind="stable")
    ids, labels = predictions["image_id"][order], predictions["label"][order]
    unique, first = np.unique(ids, return_index=True)
    return dict(zip(unique.tolist(), labels[first].tolist(), strict=True))
