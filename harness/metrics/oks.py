"""Mean average precision of keypoints as COCO defines it, by object keypoint similarity (OKS)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .class_names import class_map
from .coco_entries import Annotation
from .coco_map import average_precision, coco_of, kept, looked_at, objects_of
from .json_values import few, missing, numbers
from .spec import USUAL, MetricSpec, Value
from .truth import MEND, Truth, read

SPEC = MetricSpec(
    title="Keypoint mAP (OKS)",
    values=(
        Value("keypoint_map50_95", "Keypoint mAP50–95", held=USUAL, gates=("drop", "min")),
        Value("keypoint_map50", "Keypoint mAP50"),
    ),
)
PERSON: Final = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
    0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
"""How far people's marks of COCO's 17 joints lie apart, as a share of the person's size."""


def sigmas(count: int) -> list[float]:
    """COCO's for its 17 joints; 1 / count for each of any others, as Ultralytics takes them."""
    return list(PERSON) if count == len(PERSON) else [1 / count] * count


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """`keypoint_map50_95`, `keypoint_map50` over objects with at least one marked keypoint.

    Raises ConfigError for annotations that do not fit.
    """
    import hotcoco

    annotated = read(truth)
    names = class_map(annotated, classes)
    sizes = looked_at(annotated, predictions["image_size"])
    objects = objects_of(annotated, names, sizes)
    points = predictions.get("keypoints")
    marked = marks(annotated, objects, None if points is None else points.shape[1])
    if not any(sum(own[2::3]) for own, one in zip(marked, objects, strict=True) if not one.crowd):
        return {}
    usable = kept(predictions, names, sizes)
    if points is not None:
        usable &= np.isfinite(points).all(axis=(1, 2))
    if points is None or not usable.any():
        return {value.name: 0.0 for value in SPEC.values}
    content = coco_of(objects, names, sizes, None)
    for entry, own in zip(content["annotations"], marked, strict=True):
        entry |= {"keypoints": own, "num_keypoints": sum(v > 0 for v in own[2::3])}
    wanted = hotcoco.COCO(content)
    seen = wanted.load_res(results(predictions, names.scored, sorted(sizes), usable))
    found = average_precision(wanted, seen, "keypoints", sigmas(points.shape[1]))
    return dict(zip((value.name for value in SPEC.values), found, strict=True))


def marks(truth: Truth, objects: Sequence[Annotation], count: int | None) -> list[list[float]]:
    """x, y, visibility of each keypoint of each object; zeros where the object has no marks.

    Raises ConfigError for another number of keypoints than the model's `count`.
    """
    found, mistakes = [], []
    for one in objects:
        own: Sequence[float] | None = () if missing(one.keypoints) else numbers(one.keypoints)
        if own is None or len(own) % 3 or (own and count is not None and len(own) != 3 * count):
            has = "no numbers" if own is None else f"{len(own)} numbers"
            expected = "x, y, visibility of each" if count is None else f"{3 * count} numbers"
            mistakes.append(f"annotations[{one.at}].keypoints: expected {expected}, got {has}")
        found.append(list(own or [0.0] * 3 * (count or 0)))
    if mistakes:
        shown = [f"{truth.path}: {what}" for what in mistakes[:20]]
        raise ConfigError(shown, MEND)
    return found


def results(
    predictions: Mapping[str, NDArray[Any]],
    scored: NDArray[np.int64],
    image_ids: Sequence[int],
    usable: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """COCO results with keypoints."""
    rows = np.flatnonzero(usable)
    numbers_of = np.searchsorted(np.array(image_ids, np.int64), predictions["image_id"][rows]) + 1
    boxes = predictions["box"][rows].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    columns = (
        numbers_of.tolist(),
        (scored[predictions["label"][rows]] + 1).tolist(),
        predictions["score"][rows].astype(np.float64).tolist(),
        predictions["keypoints"][rows].astype(np.float64).reshape(len(rows), -1).tolist(),
        boxes.tolist(),
    )
    names = ("image_id", "category_id", "score", "keypoints", "bbox")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def keypoint_notes(truth: Truth) -> tuple[str, ...]:
    """Whether keypoints can be scored; raises ConfigError for marks that cannot be read."""
    boxed = [one for one in truth.annotations if one.box]
    marked = marks(truth, boxed, None)
    lacking = [one.at for one, own in zip(boxed, marked, strict=True) if not any(own[2::3])]
    if not lacking:
        return ()
    places = few([f"annotations[{at}]" for at in lacking[:1]])
    return (f"{len(lacking):,} of {len(boxed):,} annotations have no keypoints (first {places})",)
