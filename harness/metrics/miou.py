"""Mean intersection over union of the classes' pixels, over all images together.

Pixels that no annotation covers are of the class `background` where the model has one, and are
not counted otherwise; nor are those of two classes at once, or of a class that the model lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tasks import unpack
from ..tasks.rle import decode
from . import masks
from .class_names import ClassMap, check_labels, class_map
from .coco_entries import Annotation
from .coco_map import as_coco, looked_at
from .masks import Size
from .outlines import Outline
from .spec import USUAL, MetricSpec, Value
from .truth import Truth, read

SPEC = MetricSpec(
    title="Mean IoU",
    values=(
        Value("miou", "mIoU", held=USUAL, gates=("drop", "min")),
        Value("pixel_accuracy", "Pixel accuracy"),
    ),
)
NOTHING = -1
BACKGROUND = "background"


def score(
    predictions: Mapping[str, NDArray[Any]], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    """`miou` over the classes that the truth or the model sees; `pixel_accuracy` of those counted.

    Empty where an annotation has no outline. Raises ConfigError for annotations that do not fit.
    """
    annotated = read(truth)
    check_labels(predictions["label"], len(classes))
    names = class_map(annotated, classes)
    sizes = looked_at(annotated, predictions["image_size"])
    objects = [one for one in annotated.annotations if one.image_id in sizes]
    outlines = masks.of_annotations(annotated, objects, sizes)
    if None in outlines:
        return {}
    rest = background(classes, names)
    scored = names.scored.copy()
    if rest >= 0:
        scored[rest] = rest
    counts = np.zeros((len(classes), len(classes) + 1), np.int64)
    own = by_image(objects, outlines)
    for image_id, size, found in unpack(predictions):
        wanted = true_labels(own.get(image_id, []), names, size, rest)
        seen = np.full(size, NOTHING)
        for label, runs in zip(found.labels.tolist(), found.masks or (), strict=True):
            seen[decode(runs, size)] = scored[label]
        known = wanted >= 0
        pairs = wanted[known] * counts.shape[1] + seen[known] + 1
        counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
    return values_of(counts)


def values_of(counts: NDArray[np.int64]) -> dict[str, float]:
    """From pixels by true class (rows) and seen class (columns, nothing first)."""
    if not counts.any():
        return {}
    right = np.diagonal(counts, offset=1)
    union = counts.sum(axis=1) + counts[:, 1:].sum(axis=0) - right
    shares = right[union > 0] / union[union > 0]
    return {"miou": float(shares.mean()), "pixel_accuracy": float(right.sum() / counts.sum())}


def background(classes: Sequence[str], names: ClassMap) -> int:
    """The model's class for all that is not annotated, where the annotations lack it; else -1."""
    own = [label for label, name in enumerate(classes) if name.strip().lower() == BACKGROUND]
    return own[0] if own and names.scored[own[0]] < 0 else NOTHING


# ---- the truth ---------------------------------------------------------------------------------


def by_image(
    objects: Sequence[Annotation], outlines: Sequence[Outline | None]
) -> dict[int, list[tuple[Annotation, Outline]]]:
    """Annotations with their outlines by image id."""
    found: dict[int, list[tuple[Annotation, Outline]]] = {}
    for one, outline in zip(objects, outlines, strict=True):
        found.setdefault(one.image_id, []).append((one, outline or ()))
    return found


def true_labels(
    own: Sequence[tuple[Annotation, Outline]], names: ClassMap, size: Size, rest: int
) -> NDArray[np.int64]:
    """The label of each pixel; NOTHING where it is not counted."""
    wanted, claims = np.full(size, rest), np.zeros(size, np.uint16)
    by_class: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for one, mask in rasters(own, size):
        label = names.labels.get(one.category_id, NOTHING)
        key = (label, one.category_id if label == NOTHING else 0)
        by_class[key] = by_class[key] | mask if key in by_class else mask
    for (label, _), mask in by_class.items():
        claims += mask
        wanted[mask] = label
    wanted[claims > 1] = NOTHING
    return wanted


def rasters(
    own: Sequence[tuple[Annotation, Outline]], size: Size
) -> Iterator[tuple[Annotation, NDArray[np.bool_]]]:
    """Each annotation with its pixels."""
    from hotcoco import mask

    for one, outline in own:
        if outline == ():
            continue
        coco = as_coco(outline, size)
        runs = mask.frPyObjects(coco, *size)
        runs = mask.merge(runs) if isinstance(runs, list) else runs
        yield one, np.asarray(mask.decode(runs), np.bool_)


def scored_notes(truth: Truth, classes: Sequence[str]) -> tuple[str, ...]:
    """What becomes of pixels without annotation; raises ConfigError for unreadable outlines."""
    notes = masks.scored_notes(truth)
    if background(classes, class_map(truth, classes)) >= 0:
        return (*notes, f"pixels without annotation are {BACKGROUND}")
    return (*notes, "pixels without annotation are not counted")
