"""A dataset of any kind as packs and scoring take it: images with their files, and COCO truth."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError
from ...metrics import truth
from ...metrics.json_values import whole
from ...metrics.truth import Truth
from ..file_facts import FileFacts
from . import class_maps, findings
from .class_maps import Content
from .findings import Wrong
from .source import Source

_PLACE: Final = re.compile(r"annotations\[([0-9]{1,9})\]")


#: of an image's id: exact in JSON and JavaScript
ID_BYTES: Final = 6


@dataclass(frozen=True)
class Picture:
    """One image of a dataset, as annotated; 0 x 0 where the annotations do not say its size."""

    id: int
    path: Path
    height: int
    width: int


@dataclass(frozen=True)
class Found:
    """What a reader has made of a source; nothing is hashed or decoded yet."""

    #: `COCO`, `Ultralytics YOLO`, …, and which part
    title: str
    #: paths are relative to it where they are shown
    folder: Path
    truth: Truth
    pictures: tuple[Picture, ...]
    #: a COCO file that scoring can read as it is; None: `content` is to be written
    annotations: Path | None = None
    content: Content = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    #: of the manifest, where there is one
    name: str = ""
    #: None: there is none
    manifest: Path | None = None


@dataclass(frozen=True)
class Reading:
    """What a reader works with: facts of files from earlier times, and where mistakes go."""

    facts: FileFacts
    wrong: Wrong = field(default_factory=Wrong)
    #: whether files of a manifest are hashed, too
    whole: bool = False


@dataclass
class Labelled:
    """COCO content while a reader makes it, with the place of each label in the user's files."""

    names: Sequence[str] = ()
    #: of the classes; empty: 0, 1, …
    ids: Sequence[int] = ()
    #: whether these are the dataset's own, so that a class map may go by them
    has_ids: bool = True
    paths: list[Path] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: ids of the images
    taken: set[int] = field(default_factory=set)

    def image(self, path: Path, name: str, height: int = 0, width: int = 0) -> int:
        """One more image; its id."""
        self.paths.append(path)
        number = self._number(name)
        self.images.append({"id": number, "file_name": name, "height": height, "width": width})
        return number

    def _number(self, name: str) -> int:
        """Of the name alone: an image that comes or goes changes no id of another one."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        number = max(1, int.from_bytes(digest[:ID_BYTES], "big"))
        while number in self.taken:
            number += 1
        self.taken.add(number)
        return number

    def label(self, place: str, image: int, label: int, **fields: Any) -> None:
        """One more object, or the class of a whole image; `label` is an index of `names`."""
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                "image_id": image,
                "category_id": self.ids[label] if self.ids else label,
                **fields,
            }
        )
        self.places.append(place)

    def content(self) -> Content:
        """As a COCO file has it."""
        ids = self.ids or range(len(self.names))
        categories = [{"id": own, "name": name} for own, name in zip(ids, self.names, strict=True)]
        return {
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }


def box(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """`bbox` and `area` of corners, as COCO has them."""
    width, height = right - left, bottom - top
    return {"bbox": [left, top, width, height], "area": width * height, "iscrowd": 0}


def own_numbers(names: Sequence[str]) -> list[int]:
    """The ids of classes that are called by numbers, all of them; else none."""
    found = {number for name in names if (number := whole(name)) is not None}
    return [int(name) for name in names] if len(found) == len(names) else []


def of_labelled(source: Source, title: str, folder: Path, made: Labelled, wrong: Wrong) -> Found:
    """With its classes renamed where that is asked. Raises DatasetMistakes with all mistakes.

    Places of annotations in remarks become those of the user's files.
    """
    places, content = class_maps.kept(
        source, made.content(), made.places, wrong, has_ids=made.has_ids
    )
    wrong.check()
    if not made.paths:
        if not wrong.groups:
            wrong.add(findings.DESCRIBED, f"{source.path}: no images")
        wrong.fail()
    try:
        read = truth.of(source.path, content)
    except ConfigError as error:
        placed = [in_place(line, places) for line in error.mistakes]
        wrong.take(findings.LABELS, ConfigError(placed, error.hint))
        wrong.fail()
    notes = tuple(in_place(note, places) for note in read.notes)
    read = replace(read, notes=notes, places=tuple(places))
    pictures = tuple(
        Picture(one.id, path, one.height, one.width)
        for one, path in zip(read.images, made.paths, strict=True)
    )
    return Found(title, folder, read, pictures, content=content, notes=tuple(made.notes))


def in_place(text: str, places: Sequence[str]) -> str:
    """`annotations[3]` as where that label stands."""

    def place(found: re.Match[str]) -> str:
        return places[int(found[1])] if int(found[1]) < len(places) else found[0]

    return _PLACE.sub(place, text)
