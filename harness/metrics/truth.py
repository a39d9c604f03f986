"""COCO annotation files as people's tools write them, made into what scoring reads.

Taken as pycocotools and the tools of the field take them: fields that scoring does not read may be
anything, ids may be numeric strings, a missing area or box comes from the outline, `iscrowd: null`
is 0, VIA's flat outlines are outlines. What is really wrong is named with its file and field.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

LARGEST = 1e15
"""No coordinate, area or size is beyond it; NaN and infinity are not under it."""
LARGEST_ID = 2**63 - 1

PARTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class Truth:
    """Annotations in COCO's form with only what scoring reads; `notes` say what was filled in."""

    images: tuple[dict[str, Any], ...]
    annotations: tuple[dict[str, Any], ...]
    categories: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    def coco(self) -> dict[str, Any]:
        """As the object of a COCO file."""
        return {part: list(getattr(self, part)) for part in PARTS}


def read(path: Path) -> Truth:
    """The truth in the annotation file; raises ConfigError with all its mistakes."""
    try:
        state = path.stat()
    except OSError:
        hint = "Put COCO annotations there, or name another dataset."
        raise ConfigError([f"{path}: no such file"], hint) from None
    return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, size_bytes: int, changed_ns: int) -> Truth:
    """Read once, for as long as the file's size and time of change stay."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except json.JSONDecodeError as error:
        what = f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})"
        raise ConfigError([what], "Copy the file again: it is damaged or cut off.") from None
    except RecursionError:
        raise ConfigError([f"{path}: not annotations: nested too deeply"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: not UTF-8 JSON: {error}"]) from None
    mistakes = [f"{path}: {what}" for what in structure_mistakes(content)]
    if not mistakes:
        found = tidied(content)
        mistakes = [f"{path}: {what}" for what in content_mistakes(found)]
    if mistakes:
        raise ConfigError(mistakes, "Mend the annotations, or export them as COCO again.")
    return found


def class_ids(truth: Truth, classes: Sequence[str]) -> NDArray[np.int64]:
    """Category id of every label, by name; -1 for a class that the annotations do not have.

    Of categories that share a name, the one with annotations counts. Raises ConfigError when no
    class of the model is among the annotations.
    """
    used = {entry["category_id"] for entry in truth.annotations}
    ids: dict[str, int] = {}
    for category in truth.categories:
        if category["name"] not in ids or category["id"] in used:
            ids[category["name"]] = category["id"]
    if classes and not any(name in ids for name in classes):
        raise ConfigError(
            [
                f"class {name!r} of the model is not a category of the annotations"
                for name in classes
            ],
            f"Rename the model's classes; the annotations have {', '.join(map(repr, ids))}.",
        )
    return np.array([ids.get(name, -1) for name in classes], np.int64)


def class_notes(truth: Truth, classes: Sequence[str]) -> tuple[str, ...]:
    """What scoring leaves out because the model and the annotations have different classes."""
    ids = class_ids(truth, classes)
    unknown = [name for name, one in zip(classes, ids.tolist(), strict=True) if one < 0]
    used = {entry["category_id"] for entry in truth.annotations} - set(ids.tolist())
    other = [one["name"] for one in truth.categories if one["id"] in used]
    notes = []
    if other:
        notes.append(f"scored over the model's classes; not among them: {_few(other)}")
    if unknown:
        notes.append(f"not in the annotations, so not scored: {_few(unknown)}")
    return tuple(notes)


# ---- taking what people have --------------------------------------------------------------------


def tidied(content: dict[str, Any]) -> Truth:
    """The three lists with only what scoring reads, in COCO's types where that can be told."""
    made: Counter[str] = Counter()
    entries = content["annotations"]
    boxed = any(one.get("bbox") is not None or one.get("segmentation") for one in entries)
    annotations = tuple(
        _annotation({"id": at + 1, **entry}, boxed, made) for at, entry in enumerate(entries)
    )
    images = tuple(
        {
            "id": _whole(entry["id"]),
            "file_name": _file_name(entry.get("file_name")),
            **{side: _whole(entry.get(side)) for side in ("height", "width")},
        }
        for entry in content["images"]
    )
    categories = tuple(
        {"id": _whole(entry["id"]), "name": entry.get("name")} for entry in content["categories"]
    )
    notes = tuple(f"{what} in {count:,} annotations" for what, count in made.items())
    return Truth(images, annotations, categories, notes)


def _annotation(entry: dict[str, Any], boxed: bool, made: Counter[str]) -> dict[str, Any]:
    """One annotation; without boxes anywhere it is a class label."""
    tidy = {name: _whole(entry.get(name)) for name in ("id", "image_id", "category_id")}
    if not boxed:
        return tidy
    outline = _outline(entry.get("segmentation"), made)
    box, area = entry.get("bbox"), entry.get("area")
    if box is None and isinstance(outline, list) and outline and all(map(numbers, outline)):
        box = _around(outline)
        made["box taken from the outline"] += 1
    if area is None and isinstance(box, list) and numbers(box, 4):
        area = box[2] * box[3]
        made["area taken from the box"] += 1
    crowd = entry.get("iscrowd")
    tidy |= {"bbox": box, "area": area, "iscrowd": int(crowd) if crowd in (0, 1) else 0}
    return tidy | ({"segmentation": outline} if outline else {})


def _outline(value: Any, made: Counter[str]) -> Any:
    """Polygons or run lengths; VIA's flat list is one polygon, one under three corners is none."""
    if isinstance(value, list) and value and numbers(value):
        value = [value]
    if not isinstance(value, list):
        return value
    kept = [one for one in value if not (numbers(one) and len(one) < 6 and len(one) % 2 == 0)]
    if len(kept) < len(value):
        made["outline of fewer than three corners left out"] += 1
    return kept


def _around(polygons: list[list[float]]) -> list[float]:
    """Box [x, y, width, height] around polygons."""
    x = [value for polygon in polygons for value in polygon[0::2]]
    y = [value for polygon in polygons for value in polygon[1::2]]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def _whole(value: Any) -> Any:
    """`"17"` and `17.0` as 17; anything else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("-").isascii() and len(value) < 20:
        digits = value.strip()
        if digits.lstrip("-").isdecimal() and digits.count("-") <= 1:
            return int(digits)
    return value


def _file_name(value: Any) -> Any:
    """With forward slashes, also where Windows wrote it."""
    return value.replace("\\", "/").removeprefix("./") if isinstance(value, str) else value


# ---- mistakes -----------------------------------------------------------------------------------


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
            elif not is_id(_whole(entry.get("id", 0 if part == "annotations" else None))):
                yield f"{part}[{at}].id: expected a whole number, got {shown(entry.get('id'))}"


def content_mistakes(truth: Truth) -> Iterator[str]:
    """Mistakes in the fields of every image, category and annotation."""
    for part in PARTS:
        yield from repeated(part, [entry["id"] for entry in getattr(truth, part)])
    for at, image in enumerate(truth.images):
        where = f"images[{at}] (id {image['id']})"
        if not isinstance(image["file_name"], str) or not image["file_name"]:
            yield f"{where}.file_name: expected a path, got {shown(image['file_name'])}"
        for side in ("height", "width"):
            if not is_id(image[side]) or image[side] < 1:
                yield f"{where}.{side}: expected pixels, got {shown(image[side])}"
    for at, category in enumerate(truth.categories):
        if not isinstance(category["name"], str):
            where = f"categories[{at}] (id {category['id']})"
            yield f"{where}.name: expected a name, got {shown(category['name'])}"
    known = {
        "images": {entry["id"] for entry in truth.images},
        "categories": {entry["id"] for entry in truth.categories},
    }
    for at, entry in enumerate(truth.annotations):
        for what in annotation_mistakes(entry, known):
            yield f"annotations[{at}] (id {entry['id']}).{what}"


def annotation_mistakes(entry: dict[str, Any], known: dict[str, set[int]]) -> Iterator[str]:
    """Mistakes of one annotation, each as `field: what`."""
    for name, part in (("image_id", "images"), ("category_id", "categories")):
        if not is_id(entry[name]) or entry[name] not in known[part]:
            yield f"{name}: {shown(entry[name])} is not the id of one of {part}"
    if "bbox" not in entry:
        return
    box = entry["bbox"]
    if not numbers(box, 4) or min(box[2:]) < 0:
        yield f"bbox: expected [x, y, width, height], got {shown(box)}"
    elif not numbers([entry["area"]], 1) or entry["area"] < 0:
        yield f"area: expected square pixels, got {shown(entry['area'])}"
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
    """Ids that more than one entry has."""
    twice = [one for one, count in Counter(ids).items() if count > 1]
    if twice:
        yield f"{part}: duplicate ids: {_few(twice)}"


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


def is_id(value: Any) -> bool:
    """Whether `value` is an int that arrays can hold; True and 1.5 are not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID


def shown(value: Any, most: int = 60) -> str:
    """`value` as JSON, cut to fit a line; `nothing` for one that is missing."""
    if value is None:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _few(values: Sequence[object], most: int = 10) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
