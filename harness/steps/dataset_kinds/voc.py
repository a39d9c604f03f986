"""Pascal VOC: one XML file for each image, as LabelImg, CVAT and Roboflow write them.

VOC counts pixels from 1, and a box includes its last ones. Where any coordinate of the dataset is
0, or a tenth of its boxes have fractions, its tool counts from 0: boxes are taken as they stand.
VOC2012 itself has one box with a fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element

from ...errors import ConfigError
from ...metrics.coco_entries import is_path
from ...metrics.json_values import number, shown, whole
from ..image_paths import ImageFolder, OwnFiles, is_file, walk
from . import files, findings, xml_files
from .findings import Wrong
from .found import Found, Labelled, Reading, box, of_labelled
from .source import Source

TITLE: Final = "Pascal VOC"
TAKES_IMAGES: Final = True
ANNOTATIONS: Final = "Annotations"
IMAGES: Final = ("JPEGImages", "images", "Images")
SETS: Final = Path("ImageSets") / "Main"
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
HINT: Final = "Export the annotations again."
FOLDER_HINT: Final = "Name the image with its folder in <filename>."
#: share of boxes with fractions from which on they are not VOC's own
FRACTIONS: Final = 0.1


@dataclass(frozen=True)
class VocObject:
    """One object, verbatim."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """One file."""

    xml: Path
    path: Path
    height: int
    width: int
    objects: tuple[VocObject, ...]


def evidence(source: Source) -> str:
    """What makes it VOC; empty: nothing does."""
    if not source.path.is_dir():
        return ""
    inner = walk(source.path / ANNOTATIONS)
    beside = (path for one in (source.split, "") for path in _sorted(source.path / one))
    for paths in (inner, beside):
        first = next(filter(_is_xml, paths), None)
        if first:
            return str(first.relative_to(source.path))
    return ""


def read(source: Source, reading: Reading) -> Found:
    """Every XML file of the split with its image, which is not opened."""
    top, wrong = source.path, reading.wrong
    xmls, split = _xmls(source)
    inner = next((top / name for name in IMAGES if (top / name).is_dir()), None)
    there = ImageFolder(top, inner or (xmls[0].parent if xmls else top), source.images)
    found: list[VocImage] = []
    for path in xmls:
        if not there.own.has(path):
            wrong.add(findings.OUTSIDE, f"{path}: {files.OUTSIDE}", files.OUTSIDE_HINT)
            continue
        try:
            found.append(_image(path, top, there))
        except ConfigError as error:
            wrong.take(findings.LABELS, error)
    _check_images(found, there, wrong)
    title = f"{TITLE}, split {split}" if split else TITLE
    return of_labelled(source, title, top, _labelled(found, top), wrong)


def _xmls(source: Source) -> tuple[list[Path], str]:
    """The files, by a list of `ImageSets/Main` or of a folder that is called like the split."""
    top, split = source.path, source.split
    names = top / SETS / f"{split}.txt"
    inner = (top / ANNOTATIONS).is_dir()
    folder = top / ANNOTATIONS if inner else top
    if not split and inner:
        paths, out = files.below(folder, OwnFiles(top))
        return [*filter(_is_xml, paths), *out], ""
    if not split:
        return list(filter(_is_xml, _sorted(folder))), ""
    if (top / split).is_dir():
        return list(filter(_is_xml, _sorted(top / split))), split
    if not OwnFiles(top).has(names):
        raise ConfigError([f"{names}: {files.OUTSIDE}"], files.OUTSIDE_HINT)
    if not names.is_file():
        known = sorted(path.stem for path in _sorted(top / SETS) if path.suffix == ".txt")
        raise ConfigError(
            [f"{top}: no split `{split}`: no file {names}"],
            f"Name one of {files.listed(known)}." if known else "Remove `split`.",
        )
    lines = map(str.strip, files.read_text(names, files.TABLE_BYTES).splitlines())
    listed = (folder / f"{_listed_name(line, folder)}.xml" for line in lines if line)
    return list(dict.fromkeys(listed)), split


def _listed_name(line: str, folder: Path) -> str:
    """The whole line where there is such a file; lists of a class have 1, 0 or -1 after it."""
    words = line.split()
    return line if len(words) > 1 and is_file(folder / f"{line}.xml") else words[0]


def _is_xml(path: Path) -> bool:
    return path.suffix.lower() == ".xml" and not path.name.startswith(".")


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


# ---- one file ----------------------------------------------------------------------------------


def _image(path: Path, top: Path, there: ImageFolder) -> VocImage:
    """Raises ConfigError with all mistakes of the file."""
    root = xml_files.read(path)
    if root.tag != "annotation":
        raise ConfigError([f"{path}: expected <annotation>, got <{root.tag}>"], HINT)
    mistakes: list[str] = []
    objects = [
        _object(f"{path}: object {at}", one, mistakes)
        for at, one in enumerate(root.findall("object"), 1)
    ]
    if mistakes:
        raise ConfigError(mistakes, HINT)
    size = [whole(_text(root, f"size/{name}")) or 0 for name in ("height", "width")]
    known = [one for one in objects if one is not None]
    return VocImage(path, _file(path, root, top, there), size[0], size[1], tuple(known))


def _text(element: Element, name: str) -> str | None:
    found = element.find(name)
    return None if found is None else (found.text or "").strip()


def _object(where: str, element: Element, mistakes: list[str]) -> VocObject | None:
    name, texts = _text(element, "name"), [_text(element, f"bndbox/{one}") for one in CORNERS]
    numbers = [number(text) for text in texts]
    for corner, text, value in zip(CORNERS, texts, numbers, strict=True):
        if value is None:
            mistakes.append(f"{where}: bndbox/{corner}: expected a number, got {shown(text)}")
    if not name:
        mistakes.append(f"{where}: name: missing")
    if not name or any(value is None for value in numbers):
        return None
    left, top, right, bottom = (value or 0.0 for value in numbers)
    if right < left or bottom < top:
        seen = ", ".join(f"{value:g}" for value in (left, top, right, bottom))
        mistakes.append(f"{where}: bndbox: xmax < xmin or ymax < ymin: {seen}")
        return None
    return VocObject(name, (left, top, right, bottom), _text(element, "difficult") == "1")


def _file(xml: Path, root: Element, top: Path, there: ImageFolder) -> Path:
    """By <filename>, else by the XML's own name with the suffix of an image.

    Raises ConfigError where several may be meant.
    """
    named = _text(root, "filename") or ""
    if not is_path(named):
        raise ConfigError([f"{xml}: filename: expected a path, got {shown(named)}"], HINT)
    path, others = there.find(named) if named else (xml, [])
    if named and not others and there.own.has(path) and is_file(path):
        return path
    inner = top / ANNOTATIONS
    folder = xml.parent.relative_to(inner) if xml.is_relative_to(inner) else Path()
    same = next(filter(None, map(_called(xml), (there.images / folder, xml.parent))), [])
    if len(same) == 1:
        return same[0]
    if others or same:
        several = " or ".join(map(str, same or (path, *others)))
        raise ConfigError([f"{xml}: filename: ambiguous: {several}"], FOLDER_HINT)
    return path if named else xml.with_suffix(".jpg")


def _called(xml: Path) -> Callable[[Path], list[Path]]:
    """Finds images of a folder that are called like the XML."""
    names = [f"{xml.stem}{suffix}" for suffix in sorted(files.SUFFIXES)]
    return lambda folder: [folder / name for name in names if is_file(folder / name)]


# ---- the whole ---------------------------------------------------------------------------------


def _check_images(found: Sequence[VocImage], there: ImageFolder, wrong: Wrong) -> None:
    owners: dict[Path, Path] = {}
    for one in found:
        if not there.own.has(one.path):
            about = f"{one.xml}: {one.path}"
            wrong.add(findings.OUTSIDE, f"{about}: {files.OUTSIDE}", files.OUTSIDE_HINT)
        elif not is_file(one.path):
            wrong.add(findings.ABSENT, f"{one.xml}: no image file {one.path}")
        elif owners.setdefault(one.path, one.xml) != one.xml:
            other = owners[one.path].name
            wrong.add(findings.AMBIGUOUS, f"{one.xml}: {one.path} also the image of {other}")


def _labelled(found: Sequence[VocImage], top: Path) -> Labelled:
    names = sorted({one.name for image in found for one in image.objects})
    made = Labelled(names, range(1, len(names) + 1), has_ids=False)
    label = {name: at for at, name in enumerate(names)}
    from_one, broken = counts_from_one(found), fractional(found)
    if not from_one and names:
        made.notes.append("boxes are read as 0-based: some coordinates are 0 or fractional")
    elif broken:
        made.notes.append(f"boxes are read as 1-based, although some are fractional: {broken:,}")
    for image in found:
        name = image.path.relative_to(top) if image.path.is_relative_to(top) else image.path
        number = made.image(image.path, name.as_posix(), image.height, image.width)
        for at, one in enumerate(image.objects, 1):
            fields = _fields(one, from_one)
            made.label(f"{image.xml}: object {at}", number, label[one.name], **fields)
    difficult = sum(one.difficult for image in found for one in image.objects)
    if difficult:
        made.notes.append(f"difficult objects are ignored: {difficult:,}")
    return made


def counts_from_one(found: Sequence[VocImage]) -> bool:
    """Whether boxes can be VOC's own: numbers from 1 on, nearly all of them whole."""
    boxes = [one.corners for image in found for one in image.objects]
    return all(min(box) >= 1 for box in boxes) and fractional(found) < FRACTIONS * max(
        1, len(boxes)
    )


def fractional(found: Sequence[VocImage]) -> int:
    """How many boxes have a coordinate with a fraction."""
    boxes = (one.corners for image in found for one in image.objects)
    return sum(not all(value.is_integer() for value in box) for box in boxes)


def _fields(one: VocObject, from_one: bool) -> dict[str, Any]:
    left, top, right, bottom = one.corners
    shift = int(from_one)
    return {**box(left - shift, top - shift, right, bottom), "iscrowd": int(one.difficult)}
