"""Entries of a COCO file as various tools write them, normalised for scoring.

Unusual but clear values are accepted and counted for a note; ambiguous ones are mistakes.
Fields that scoring does not use are ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from . import outlines
from .json_values import few, missing, number, numbers, shown, whole

Entry = dict[str, Any]
Box = tuple[float, float, float, float]

MOST_AREA: Final = 1e10
"""COCO's evaluation ignores larger objects, so no true area is larger."""
BOX: Final = "[x, y, width, height]"
LONGEST_PATH: Final = 4096


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image; `height` and `width` are 0 if the file lacks them."""

    id: int
    file_name: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Category:
    """One class of the annotations."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object; `at` is its position in the file, `segmentation` is verbatim.

    `box` is (x, y, width, height) in pixels; None for an image-level label.
    """

    at: int
    image_id: int
    category_id: int
    box: Box | None
    area: float
    crowd: bool
    segmentation: Any
    #: as they stand there
    keypoints: Any = None


Named = TypeVar("Named", ImageEntry, Category)


@dataclass
class Findings:
    """The mistakes of a file, and how unusual values were read."""

    mistakes: list[str] = field(default_factory=list)
    #: what was done -> to how many annotations; and to which first
    done: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def expected(self, where: str, what: str, value: Any) -> None:
        """A mistake: `where` is a field."""
        self.mistakes.append(f"{where}: expected {what}, got {shown(value)}")

    def did(self, what: str, where: str) -> None:
        """Count a conversion of an unusual value."""
        self.done[what] += 1
        self.first.setdefault(what, where)

    def notes(self) -> tuple[str, ...]:
        """One sentence each."""
        counted = (
            f"{what} in {count:,} annotation{'s' if count > 1 else ''} (first {self.first[what]})"
            for what, count in self.done.items()
        )
        return (*self.remarks, *counted)


def named(part: str, at: int, entry: Entry) -> str:
    """`annotations[3] (id 17)`, as messages name an entry."""
    one = entry.get("id")
    return f"{part}[{at}]" + ("" if one is None else f" (id {shown(one).strip(chr(34))})")


# ---- ids ---------------------------------------------------------------------------------------


def ids(part: str, entries: Sequence[Entry], seen: Findings) -> dict[int | str, int]:
    """The number of every id: itself, or its rank where some are text or too large for 64 bits."""
    keys = []
    for at, entry in enumerate(entries):
        key = id_of(entry.get("id"))
        if key is None:
            seen.expected(f"{part}[{at}].id", "a number or a string", entry.get("id"))
        else:
            keys.append(key)
    if all(isinstance(key, int) for key in keys):
        return {key: int(key) for key in keys}
    seen.remarks.append(f"{part}: string ids are numbered from 1 in sorted order")
    ranked = sorted(set(keys), key=lambda key: (isinstance(key, str), key))
    return {key: at + 1 for at, key in enumerate(ranked)}


def id_of(value: Any) -> int | str | None:
    """A normalised id: a number even if written as text; None if it is not an id."""
    known = whole(value)
    if known is not None:
        return known
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def own(entry: Entry, numbers_of: Mapping[int | str, int]) -> int:
    """The number that `ids` gave to an entry."""
    key = id_of(entry.get("id"))
    assert key is not None
    return numbers_of[key]


def distinct(part: str, found: Sequence[Named], seen: Findings) -> tuple[Named, ...]:
    """`found` without exact duplicates; one id of two different entries is a mistake."""
    unique = tuple(dict.fromkeys(found))
    twice = [one for one, count in Counter(entry.id for entry in unique).items() if count > 1]
    if twice:
        seen.mistakes.append(f"{part}: duplicate ids: {few(twice)}")
    elif len(unique) < len(found):
        seen.remarks.append(f"{part}: {len(found) - len(unique):,} duplicate entries ignored")
    return unique


# ---- images and categories ---------------------------------------------------------------------


def image(at: int, entry: Entry, numbers_of: Mapping[int | str, int], seen: Findings) -> ImageEntry:
    """An entry of `images`, whose id is one of `number_of`."""
    where = named("images", at, entry)
    name = entry.get("file_name")
    if not isinstance(name, str) or not name.strip() or not is_path(name):
        seen.expected(f"{where}.file_name", "a path", name)
    sides = [side(f"{where}.{name}", entry.get(name), seen) for name in ("height", "width")]
    height, width = sides if all(sides) else (0, 0)
    return ImageEntry(own(entry, numbers_of), str(name), height, width)


def is_path(name: str) -> bool:
    """Whether it is a valid path: no lone surrogate, no NUL, and not too long."""
    odd = "\0" in name or any("\ud800" <= one <= "\udfff" for one in name[:LONGEST_PATH])
    return not odd and len(name) <= LONGEST_PATH


def side(where: str, value: Any, seen: Findings) -> int:
    """Pixels of an image's side; 0 if the file lacks it."""
    pixels = 0 if missing(value) else whole(value)
    if pixels is None or pixels < 0:
        seen.expected(where, "pixels", value)
        return 0
    return pixels


def category(
    at: int, entry: Entry, numbers_of: Mapping[int | str, int], seen: Findings
) -> Category:
    """An entry of `categories`; names may be numbers."""
    name = entry.get("name")
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str):
        seen.expected(f"{named('categories', at, entry)}.name", "a name", name)
    return Category(own(entry, numbers_of), str(name).strip())


# ---- annotations -------------------------------------------------------------------------------


def annotation(
    at: int,
    entry: Entry,
    images: Mapping[int | str, int],
    categories: Mapping[int | str, int],
    seen: Findings,
) -> Annotation | None:
    """An entry of `annotations`; None with a note if its image or category is unknown."""
    image_id = reference(at, entry, "image_id", images, seen)
    category_id = reference(at, entry, "category_id", categories, seen)
    if image_id is None or category_id is None:
        return None
    box, area = box_of(at, entry, seen), number(entry.get("area"))
    if box and (area is None or not 0 <= area <= MOST_AREA):
        seen.did("area taken from the box", f"annotations[{at}]")
        area = box[2] * box[3]
    crowd = is_crowd(at, entry, seen)
    outline, points = entry.get("segmentation"), entry.get("keypoints")
    return Annotation(at, image_id, category_id, box, area or 0.0, crowd, outline, points)


def reference(
    at: int, entry: Entry, name: str, numbers_of: Mapping[int | str, int], seen: Findings
) -> int | None:
    """The number of the image or category that field `name` refers to; None if unknown."""
    key = id_of(entry.get(name))
    if key is None:
        seen.expected(f"{named('annotations', at, entry)}.{name}", "an id", entry.get(name))
        return -1
    if key not in numbers_of:
        seen.did(f"ignored: unknown {name}", f"annotations[{at}]")
    return numbers_of.get(key)


def box_of(at: int, entry: Entry, seen: Findings) -> Box | None:
    """`bbox`, or else the box around the outline."""
    value, outline = entry.get("bbox"), entry.get("segmentation")
    if not missing(value):
        box = numbers(value) or ()
        if len(box) == 4 and box[2] >= 0 and box[3] >= 0:
            return box[0], box[1], box[2], box[3]
        seen.expected(f"{named('annotations', at, entry)}.bbox", BOX, value)
    elif not missing(outline):
        seen.did("box taken from the outline", f"annotations[{at}]")
        try:
            return outlines.around(outlines.parse(outline))
        except ValueError as error:
            seen.mistakes.append(f"{named('annotations', at, entry)}.segmentation{error}")
    return None


def is_crowd(at: int, entry: Entry, seen: Findings) -> bool:
    """`iscrowd`; false if missing."""
    value = entry.get("iscrowd")
    if value in (0, None) or missing(value):
        return False
    if value in (1, "0", "1"):
        return bool(value != "0")
    seen.expected(f"{named('annotations', at, entry)}.iscrowd", "0 or 1", value)
    return False
