"""COCO annotation files: read once, and every mistake in them named.

Only what scoring reads is checked: ids, sizes, boxes, areas, polygons or run lengths.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

LARGEST = 1e15
"""No coordinate, area or size is beyond it; NaN and infinity are not under it."""

PARTS = ("images", "annotations", "categories")


def read(path: Path) -> dict[str, Any]:
    """The content of the annotation file; raises ConfigError with all its mistakes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"], "a dataset needs COCO annotations") from None
    except json.JSONDecodeError as error:
        what = f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})"
        raise ConfigError([what], "the file is damaged or cut off; copy it again") from None
    except RecursionError:
        raise ConfigError([f"{path}: not annotations: nested too deeply"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}"]) from None
    mistakes = [f"{path}: {what}" for what in structure_mistakes(content)]
    if not mistakes:
        mistakes = [f"{path}: {what}" for what in content_mistakes(content)]
    if mistakes:
        raise ConfigError(mistakes, "see https://cocodataset.org/#format-data")
    found: dict[str, Any] = content
    return found


def category_ids(categories: Sequence[dict[str, Any]], classes: Sequence[str]) -> NDArray[np.int64]:
    """Category id of every label, by name; raises ConfigError if the truth lacks a class."""
    ids = {one["name"]: one["id"] for one in categories}
    lacking = [name for name in classes if name not in ids]
    if lacking:
        raise ConfigError(
            [f"class {name!r} of the model is no category of the annotations" for name in lacking],
            f"the annotations have: {', '.join(map(repr, ids))}",
        )
    return np.array([ids[name] for name in classes], np.int64)


def structure_mistakes(content: Any) -> Iterator[str]:
    """What keeps the file from being three lists of objects."""
    if not isinstance(content, dict):
        yield f"expected an object, got {shown(content)}"
        return
    for part in PARTS:
        entries = content.get(part)
        if not isinstance(entries, list):
            yield f"{part}: expected a list, got {shown(entries)}"
            continue
        for at, entry in enumerate(entries):
            if not isinstance(entry, dict):
                yield f"{part}[{at}]: expected an object, got {shown(entry)}"
            elif not is_whole(entry.get("id")):
                yield f"{part}[{at}].id: expected a whole number, got {shown(entry.get('id'))}"


def content_mistakes(content: dict[str, Any]) -> Iterator[str]:
    """Mistakes in the fields of every image, category and annotation."""
    for part in PARTS:
        yield from repeated(part, [entry["id"] for entry in content[part]])
    for at, image in enumerate(content["images"]):
        where = f"images[{at}] (id {image['id']})"
        if not isinstance(image.get("file_name"), str) or not image["file_name"]:
            yield f"{where}.file_name: expected a path, got {shown(image.get('file_name'))}"
        for side in ("height", "width"):
            if not is_whole(image.get(side)) or image[side] < 1:
                yield f"{where}.{side}: expected pixels, got {shown(image.get(side))}"
    for at, category in enumerate(content["categories"]):
        if not isinstance(category.get("name"), str):
            where = f"categories[{at}] (id {category['id']})"
            yield f"{where}.name: expected a name, got {shown(category.get('name'))}"
    known = {part: {entry["id"] for entry in content[part]} for part in ("images", "categories")}
    boxed = any("bbox" in entry for entry in content["annotations"])
    for at, entry in enumerate(content["annotations"]):
        where = f"annotations[{at}] (id {entry['id']})"
        yield from (f"{where}.{what}" for what in annotation_mistakes(entry, known, boxed))


def annotation_mistakes(
    entry: dict[str, Any], known: dict[str, set[int]], boxed: bool
) -> Iterator[str]:
    """Mistakes of one annotation, each as `field: what`; without boxes it is a class label."""
    for name, part in (("image_id", "images"), ("category_id", "categories")):
        if not is_whole(entry.get(name)) or entry[name] not in known[part]:
            yield f"{name}: {shown(entry.get(name))} is not the id of one of {part}"
    if not boxed:
        return
    box = entry.get("bbox")
    if not isinstance(box, list) or not numbers(box, 4) or min(box[2:]) < 0:
        yield f"bbox: expected [x, y, width, height], got {shown(box)}"
    if not numbers([entry.get("area")], 1) or entry["area"] < 0:
        yield f"area: expected square pixels, got {shown(entry.get('area'))}"
    if "segmentation" in entry:
        yield from segmentation_mistakes(entry["segmentation"])


def segmentation_mistakes(value: Any) -> Iterator[str]:
    """A segmentation is polygons [[x, y, ...], ...] or run lengths {size, counts}."""
    if isinstance(value, dict):
        if not numbers(value.get("size"), 2) or not isinstance(value.get("counts"), (list, str)):
            yield f"segmentation: expected {{size, counts}}, got {shown(value)}"
        return
    if not isinstance(value, list):
        yield f"segmentation: expected polygons or run lengths, got {shown(value)}"
        return
    for at, polygon in enumerate(value):
        if not numbers(polygon) or len(polygon) < 6 or len(polygon) % 2:
            yield f"segmentation[{at}]: expected x, y of 3 or more corners, got {shown(polygon)}"


def repeated(part: str, ids: list[int]) -> Iterator[str]:
    """Ids that stand twice."""
    twice = [one for one, count in Counter(ids).items() if count > 1]
    if twice:
        yield f"{part}: ids that stand twice: {', '.join(map(str, twice[:10]))}"


def numbers(value: Any, count: int | None = None) -> bool:
    """Whether `value` is a list of (`count`) numbers, none of them infinite."""
    return (
        isinstance(value, list)
        and count in (None, len(value))
        and all(
            isinstance(one, (int, float)) and not isinstance(one, bool) and -LARGEST < one < LARGEST
            for one in value
        )
    )


def is_whole(value: Any) -> bool:
    """Whether `value` is an int; True and 1.0 are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any, most: int = 60) -> str:
    """`value` as JSON, cut to fit a line; `nothing` for one that is missing."""
    if value is None:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
