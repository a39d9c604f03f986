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
from .spec import USUAL, MetricSpec, Value
from .truth import class_ids, read

if TYPE_CHECKING:
    import hotcoco

SPEC = MetricSpec(
    title="COCO mAP",
    values=(
        Value("map50_95", "mAP50–95", held=USUAL, gates=("drop", "min")),
        Value("mask_map50_95", "Mask mAP50–95", held=USUAL, gates=("drop", "min")),
        Value("map50", "mAP50"),
        Value("mask_map50", "Mask mAP50"),
    ),
)


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """`map50_95`, `map50` of boxes and, where there are masks, `mask_map50_95`, `mask_map50`."""
    import hotcoco

    annotated = read(truth)
    categories = class_ids(annotated, classes)
    image_ids = predictions["image_size"][:, 0].tolist()
    wanted = hotcoco.COCO(annotated.coco())
    ours = [one for one in categories.tolist() if one >= 0]
    objects = wanted.get_ann_ids(img_ids=image_ids, cat_ids=ours, iscrowd=False)
    kinds = {"": "bbox"} | ({"mask_": "segm"} if "rle" in predictions else {})
    if "mask_" in kinds and not all("segmentation" in one for one in wanted.load_anns(objects)):
        del kinds["mask_"]  # boxes without outlines are no truth for masks
    if not objects:
        return {}
    usable = kept(predictions, categories, image_ids)
    if not usable.any():
        return {f"{prefix}{name}": 0.0 for prefix in kinds for name in ("map50_95", "map50")}
    rows = result_rows(predictions, categories)[usable]
    masks = segmentations(predictions) if "mask_" in kinds else None
    if masks is not None:
        masks = [mask for mask, use in zip(masks, usable.tolist(), strict=True) if use]
    seen = wanted.load_res(rows, segmentation=masks)
    values: dict[str, float] = {}
    for prefix, kind in kinds.items():
        map50_95, map50 = average_precision(wanted, seen, kind, image_ids, ours)
        values |= {f"{prefix}map50_95": map50_95, f"{prefix}map50": map50}
    return values


def average_precision(
    wanted: hotcoco.COCO,
    seen: hotcoco.COCO,
    kind: str,
    image_ids: list[int],
    category_ids: list[int],
) -> tuple[float, float]:
    """mAP50-95 and mAP50 of `kind` (`bbox` or `segm`) over these images and categories."""
    import hotcoco

    evaluation = hotcoco.COCOeval(wanted, seen, kind)
    evaluation.params.img_ids = image_ids
    evaluation.params.cat_ids = category_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summary_lines()  # fills `stats` without printing
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def kept(
    predictions: Mapping[str, NDArray[Any]], categories: NDArray[np.int64], image_ids: list[int]
) -> NDArray[np.bool_]:
    """Which detections are scored: finite ones, of an annotated class, on an image looked at."""
    label = predictions["label"]
    known = (label >= 0) & (label < len(categories))
    known &= categories[np.where(known, label, 0)] >= 0
    finite = np.isfinite(predictions["score"]) & np.isfinite(predictions["box"]).all(axis=1)
    return np.asarray(known & finite & np.isin(predictions["image_id"], image_ids))


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
    rows[:, 6] = categories[np.clip(predictions["label"], 0, len(categories) - 1)]
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
