"""COCO annotation files as various tools write them, normalised for scoring.

Read like pycocotools and similar tools read them: fields that scoring does not use may be
anything, ids may be text, a missing box comes from the outline, `iscrowd: null` is 0. Conversions
are in the notes; mistakes are named with file and field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from .. import regular
from ..errors import ConfigError
from . import coco_entries
from .coco_entries import Annotation, Category, Entry, Findings, ImageEntry, named
from .json_values import few, shown

PARTS: Final = ("images", "annotations", "categories")
MEND: Final = "Correct the annotations, or export them as COCO again."
OUTSIDE: Final = 0.02
"""A box may extend beyond its image by this share of the image's side."""


@dataclass(frozen=True, eq=False)
class Truth:
    """An annotation file with only what scoring uses; `notes` list the conversions."""

    path: Path
    images: tuple[ImageEntry, ...]
    annotations: tuple[Annotation, ...]
    categories: tuple[Category, ...]
    notes: tuple[str, ...] = ()
    #: of each annotation, where its file is not `path`
    places: tuple[str, ...] = ()

    def place(self, at: int) -> str:
        """Where an annotation stands, for messages."""
        return self.places[at] if self.places else f"annotations[{at}]"


def read(path: Path) -> Truth:
    """The ground truth in the annotation file; raises ConfigError with all its mistakes."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        hint = "Put COCO annotations there, or name another dataset."
        raise ConfigError([f"{path}: no such file"], hint) from None
    return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, size_bytes: int, changed_ns: int) -> Truth:
    """Cached while the file's size and modification time stay the same."""
    return of(path, load(path))


def of(path: Path, content: Any) -> Truth:
    """The truth in the content of an annotation file; raises ConfigError with all its mistakes."""
    seen = Findings()
    seen.mistakes += structure_mistakes(content)
    found = _entries(path, content, seen) if not seen.mistakes else None
    if found is None or seen.mistakes:
        raise ConfigError([f"{path}: {what}" for what in seen.mistakes], MEND)
    return found


def load(path: Path) -> Any:
    """The JSON of the file, in any Unicode encoding; raises ConfigError if it has none."""
    try:
        return json.loads(regular.read(path))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except json.JSONDecodeError as error:
        what = f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})"
        raise ConfigError(
            [what], "Copy the file again, since it is damaged or truncated."
        ) from None
    except RecursionError:
        raise ConfigError([f"{path}: not COCO annotations: nested too deeply"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: not UTF-8 JSON: {error}"]) from None


def structure_mistakes(content: Any) -> Iterator[str]:
    """Why the file is not three lists of objects."""
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


def _entries(path: Path, content: dict[str, list[Entry]], seen: Findings) -> Truth | None:
    """All three lists; None if ids are missing."""
    numbers_of = {part: coco_entries.ids(part, content[part], seen) for part in PARTS[::2]}
    if seen.mistakes:
        return None
    images, categories = numbers_of["images"], numbers_of["categories"]
    entries = content["images"], content["categories"], content["annotations"]
    pictured = [coco_entries.image(at, one, images, seen) for at, one in enumerate(entries[0])]
    named_classes = [
        coco_entries.category(at, one, categories, seen) for at, one in enumerate(entries[1])
    ]
    objects = [
        coco_entries.annotation(at, one, images, categories, seen)
        for at, one in enumerate(entries[2])
    ]
    known = tuple(one for one in objects if one is not None)
    unique = coco_entries.distinct("images", pictured, seen)
    classes = coco_entries.distinct("categories", named_classes, seen)
    if not seen.mistakes:
        seen.mistakes += annotation_mistakes(entries[2], known)
    if not seen.mistakes:
        seen.mistakes += box_mistakes(known, unique, seen)
        same_file(unique, seen)
    return Truth(path, unique, known, classes, seen.notes())


# ---- mistakes of the whole ----------------------------------------------------------------------


def annotation_mistakes(entries: Sequence[Entry], known: Sequence[Annotation]) -> Iterator[str]:
    """No annotation refers to an image and a category, or objects are duplicated."""
    if entries and not known:
        fields = ("image_id", "category_id")
        first = ", ".join(f"{name}: {shown(entries[0].get(name))}" for name in fields)
        yield f"annotations: none refers to a known image and category (annotations[0]: {first})"
    seen: dict[Any, int] = {}
    for one in known:
        own = coco_entries.id_of(entries[one.at].get("id"))
        first_at = seen.setdefault((own, one.image_id, one.category_id, one.box), one.at)
        if own is not None and first_at != one.at:
            where = named("annotations", one.at, entries[one.at])
            yield f"{where}: duplicate of annotations[{first_at}]"


def box_mistakes(
    known: Sequence[Annotation], images: Sequence[ImageEntry], seen: Findings
) -> Iterator[str]:
    """Boxes that are not in pixels; remarks on those that cannot be matched, or lie outside."""
    sizes = {one.id: (one.width, one.height) for one in images}
    boxed = [one for one in known if one.box]
    if not boxed:
        return
    boxes = np.array([one.box for one in boxed])
    limits = np.array([sizes[one.image_id] for one in boxed])
    near, far = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    shares = (near >= -OUTSIDE).all() and (far <= 1 + OUTSIDE).all()
    if shares and ((limits > 16) | (limits == 0)).all():
        yield f"annotations: all boxes lie within one pixel; {coco_entries.BOX} must be in pixels"
    slack = np.maximum(1, OUTSIDE * limits)
    outside = ((near < -slack) | (far > limits + slack)).any(axis=1) & (limits > 0).all(axis=1)
    for marks, what in (
        ((boxes[:, 2:] <= 0).any(axis=1), "have no area; no detection can match them"),
        (outside, f"extend beyond their image ({coco_entries.BOX} must be in pixels)"),
    ):
        count = int(marks.sum())
        if count:
            first = boxed[int(marks.argmax())].at
            seen.remarks.append(
                f"{count:,} of {len(boxes):,} boxes {what} (first annotations[{first}])"
            )


def check_boxes(truth: Truth, objects: Sequence[Annotation]) -> None:
    """Raises ConfigError for objects without a box (image-level labels)."""
    lacking = [one.at for one in objects if one.box is None]
    if lacking and len(lacking) == len(objects):
        what = "image-level labels, but the model outputs boxes"
        raise ConfigError([f"{truth.path}: {what}"], "Select a dataset with boxes.")
    if lacking:
        where = f"{truth.path}: annotations"
        what = f"bbox: expected {coco_entries.BOX}, got nothing"
        raise ConfigError([f"{where}[{at}].{what}" for at in lacking], MEND)


def same_file(images: Sequence[ImageEntry], seen: Findings) -> None:
    """A remark if several images share a file: objects then seem to be missed."""
    ids: dict[str, list[int]] = {}
    for one in images:
        ids.setdefault(one.file_name, []).append(one.id)
    shared = [name for name, owners in ids.items() if len(owners) > 1]
    if shared:
        seen.remarks.append(f"files shared by several images: {few(shared, 3)}")
