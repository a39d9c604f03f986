"""Mean average precision of boxes and masks as COCO defines it, by hotcoco.

The same numbers as pycocotools to 1e-6 (benchmarks/scoring.py), some hundred times sooner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .coco_rle import compressed
from .truth import category_ids

if TYPE_CHECKING:
    import hotcoco


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """`map50_95`, `map50` of boxes and, where there are masks, `mask_map50_95`, `mask_map50`."""
    import hotcoco

    wanted = hotcoco.COCO(str(truth))
    image_ids = predictions["image_size"][:, 0].tolist()
    kinds = {"": "bbox"} | ({"mask_": "segm"} if "rle" in predictions else {})
    if not wanted.get_ann_ids(img_ids=image_ids, iscrowd=False):
        return {}
    if not len(predictions["score"]):
        return {f"{prefix}{name}": 0.0 for prefix in kinds for name in ("map50_95", "map50")}
    rows = result_rows(predictions, category_ids(wanted.dataset["categories"], classes))
    masks = segmentations(predictions) if "rle" in predictions else None
    seen = wanted.load_res(rows, segmentation=masks)
    values: dict[str, float] = {}
    for prefix, kind in kinds.items():
        map50_95, map50 = average_precision(wanted, seen, kind, image_ids)
        values |= {f"{prefix}map50_95": map50_95, f"{prefix}map50": map50}
    return values


def average_precision(
    wanted: hotcoco.COCO, seen: hotcoco.COCO, kind: str, image_ids: list[int]
) -> tuple[float, float]:
    """mAP50-95 and mAP50 of `kind` (`bbox` or `segm`) over `image_ids`."""
    import hotcoco

    evaluation = hotcoco.COCOeval(wanted, seen, kind)
    evaluation.params.img_ids = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summary_lines()  # fills `stats` without printing
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def result_rows(
    predictions: Mapping[str, NDArray[Any]], categories: NDArray[np.int64]
) -> NDArray[np.float64]:
    """COCO results (n, 7): image id, x, y, width, height, score, category id."""
    boxes = predictions["box"].astype(np.float64)
    rows = np.empty((len(boxes), 7))
    rows[:, 0] = predictions["image_id"]
    rows[:, 1:3] = boxes[:, :2]
    rows[:, 3:5] = boxes[:, 2:] - boxes[:, :2]
    rows[:, 5] = predictions["score"]
    rows[:, 6] = categories[predictions["label"]]
    return rows


def segmentations(
    predictions: Mapping[str, NDArray[Any]],
) -> list[dict[str, Any] | list[list[float]]]:
    """Compressed COCO RLE of every detection."""
    sizes = {image_id: [h, w] for image_id, h, w in predictions["image_size"].tolist()}
    masks = compressed(predictions["rle"], predictions["rle_end"])
    return [
        {"size": sizes[image_id], "counts": counts}
        for image_id, counts in zip(predictions["image_id"].tolist(), masks, strict=True)
    ]
