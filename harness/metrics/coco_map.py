"""Mean average precision of boxes and masks as COCO defines it, by hotcoco.

Agrees with pycocotools to 1e-6 (benchmarks/scoring.py) and is some hundred times faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from . import masks
from .class_names import ClassMap, check_labels, class_map
from .coco_entries import Annotation
from .coco_rle import compressed
from .json_values import few
from .masks import Size
from .outlines import Outline, RunLengths
from .spec import USUAL, MetricSpec, Value
from .truth import Truth, check_boxes, read

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
    """`map50_95`, `map50` of boxes and, with masks, `mask_map50_95`, `mask_map50`.

    Over the model's own classes. Raises ConfigError for annotations that do not fit.
    """
    import hotcoco

    annotated = read(truth)
    names = class_map(annotated, classes)
    sizes = looked_at(annotated, predictions["image_size"])
    objects = objects_of(annotated, names, sizes)
    outlines = None
    if "rle" in predictions:
        found = masks.of_annotations(annotated, objects, sizes)
        outlines = None if None in found else found  # boxes alone are no truth for masks
    if all(one.crowd for one in objects):
        return {}
    usable = kept(predictions, names, sizes)
    kinds = {"": "bbox"} | ({"mask_": "segm"} if outlines else {})
    if not usable.any():
        return {f"{prefix}{name}": 0.0 for prefix in kinds for name in ("map50_95", "map50")}
    rows = result_rows(predictions, names, sorted(sizes))[usable]
    wanted = hotcoco.COCO(coco_of(objects, names, sizes, outlines))
    seen = wanted.load_res(rows, segmentation=segmentations(predictions, usable, outlines))
    values: dict[str, float] = {}
    for prefix, kind in kinds.items():
        map50_95, map50 = average_precision(wanted, seen, kind)
        values |= {f"{prefix}map50_95": map50_95, f"{prefix}map50": map50}
    return values


def average_precision(
    wanted: hotcoco.COCO, seen: hotcoco.COCO, kind: str, sigmas: Sequence[float] = ()
) -> tuple[float, float]:
    """mAP50-95 and mAP50 of `kind` (`bbox`, `segm`; `keypoints` with the sigma of each)."""
    import hotcoco

    evaluation = hotcoco.COCOeval(wanted, seen, kind)
    if sigmas:
        evaluation.params.kpt_oks_sigmas = list(sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summary_lines()  # fills `stats` without printing
    return float(evaluation.stats[0]), float(evaluation.stats[1])


# ---- the truth ---------------------------------------------------------------------------------


def looked_at(truth: Truth, image_size: NDArray[np.int64]) -> dict[int, Size]:
    """Size of every image with predictions, by id; raises ConfigError for one not annotated."""
    sizes = {image_id: (height, width) for image_id, height, width in image_size.tolist()}
    unknown = sorted(set(sizes) - {one.id for one in truth.images})
    if unknown:
        what = f"missing images with predictions, ids {few(unknown)}"
        raise ConfigError(
            [f"{truth.path}: {what}"], "Run again, since the annotations have changed."
        )
    return sizes


def objects_of(truth: Truth, names: ClassMap, sizes: Mapping[int, Size]) -> list[Annotation]:
    """Objects of the model's classes on these images; raises ConfigError for one without a box."""
    objects = [
        one
        for one in truth.annotations
        if one.category_id in names.labels and one.image_id in sizes
    ]
    check_boxes(truth, objects)
    return objects


def coco_of(
    objects: Sequence[Annotation],
    names: ClassMap,
    sizes: Mapping[int, Size],
    outlines: Sequence[Outline | None] | None,
) -> dict[str, Any]:
    """What hotcoco reads: images and annotations numbered from 1, categories by label.

    Numbered in the order of ids, like pycocotools: it decides ties of scores.
    """
    number = {image_id: at + 1 for at, image_id in enumerate(sorted(sizes))}
    annotations = [
        {
            "id": at + 1,
            "image_id": number[one.image_id],
            "category_id": names.labels[one.category_id] + 1,
            "bbox": list(one.box or ()),
            "area": one.area,
            "iscrowd": int(one.crowd),
        }
        for at, one in enumerate(objects)
    ]
    for entry, one, outline in zip(annotations, objects, outlines or (), strict=False):
        entry["segmentation"] = as_coco(outline, sizes[one.image_id])
    images = [
        {"id": number[one], "height": height, "width": width, "file_name": ""}
        for one, (height, width) in sizes.items()
    ]
    labels = sorted(set(names.labels.values()))
    categories = [{"id": label + 1, "name": str(label)} for label in labels]
    return {"images": images, "annotations": annotations, "categories": categories}


def as_coco(outline: Outline | None, size: Size) -> dict[str, Any] | list[list[float]]:
    """An outline in COCO's form; one without area is an empty mask."""
    height, width = size
    if isinstance(outline, RunLengths):
        runs = outline.counts
        return {"size": [height, width], "counts": runs if isinstance(runs, str) else list(runs)}
    if not outline:
        return {"size": [height, width], "counts": [height * width]}
    return [list(polygon) for polygon in outline]


# ---- the predictions ---------------------------------------------------------------------------


def kept(
    predictions: Mapping[str, NDArray[Any]], names: ClassMap, sizes: Mapping[int, Size]
) -> NDArray[np.bool_]:
    """Which detections are scored: finite, of an annotated class, on one of these images."""
    check_labels(predictions["label"], len(names.scored))
    known = names.scored[predictions["label"]] >= 0
    finite = np.isfinite(predictions["score"]) & np.isfinite(predictions["box"]).all(axis=1)
    return np.asarray(known & finite & np.isin(predictions["image_id"], list(sizes)))


def result_rows(
    predictions: Mapping[str, NDArray[Any]], names: ClassMap, image_ids: Sequence[int]
) -> NDArray[np.float64]:
    """COCO results (n, 7): image number, x, y, width, height, score, category id."""
    boxes = predictions["box"].astype(np.float64)
    rows = np.empty((len(boxes), 7))
    rows[:, 0] = np.searchsorted(np.array(image_ids, np.int64), predictions["image_id"]) + 1
    rows[:, 1:3] = boxes[:, :2]
    rows[:, 3:5] = boxes[:, 2:] - boxes[:, :2]
    rows[:, 5] = predictions["score"]
    rows[:, 6] = names.scored[predictions["label"]] + 1
    return rows


def segmentations(
    predictions: Mapping[str, NDArray[Any]],
    usable: NDArray[np.bool_],
    outlines: Sequence[Outline | None] | None,
) -> list[dict[str, Any] | list[list[float]]] | None:
    """Compressed COCO RLE of every usable detection; None if masks are not scored."""
    if outlines is None:
        return None
    sizes = {image_id: [h, w] for image_id, h, w in predictions["image_size"].tolist()}
    runs = compressed(predictions["rle"], predictions["rle_end"])
    rows = zip(predictions["image_id"].tolist(), runs, usable.tolist(), strict=True)
    return [{"size": sizes[image_id], "counts": counts} for image_id, counts, use in rows if use]
