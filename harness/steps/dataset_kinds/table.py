"""A list in CSV: a path and a class in each line, or a path, a box and its class.

Columns are known by the names that tools give them; without a header they are `path, label` or
`path, x1, y1, x2, y2, label`. A line without box and class is an image without objects.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError
from ...metrics.coco_entries import is_path
from ...metrics.json_values import number, shown, whole
from ..image_paths import ImageFolder, is_file
from . import files, findings
from .findings import Wrong
from .found import Found, Labelled, Reading, box, of_labelled, own_numbers
from .source import Source

TITLE: Final = "CSV list"
TAKES_IMAGES: Final = True
SUFFIXES: Final = (".csv", ".tsv")
#: what a column holds -> names of it, in small letters and without `_`, `-` and blanks
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "imagename", "imagefile",
             "img", "imgpath", "imageid", "imagefilename"),
    "label": ("label", "class", "classname", "labelname", "category", "categoryname", "target"),
    "x1": ("x1", "xmin", "left", "x", "bboxx", "bboxxmin"),
    "y1": ("y1", "ymin", "top", "y", "bboxy", "bboxymin"),
    "x2": ("x2", "xmax", "right", "bboxxmax"),
    "y2": ("y2", "ymax", "bottom", "bboxymax"),
    "w": ("w", "boxwidth", "bboxwidth", "bboxw"),
    "h": ("h", "boxheight", "bboxheight", "bboxh"),
    "width": ("width", "imagewidth", "imgwidth"),
    "height": ("height", "imageheight", "imgheight"),
    "split": ("split", "set", "subset", "partition"),
}  # fmt: skip
BARE: Final = {2: ("path", "label"), 6: ("path", "x1", "y1", "x2", "y2", "label")}
MOST_COLUMNS: Final = 1000
QUOTES: Final = "Put a cell that contains the separator in quotes."
HINT: Final = "Give the list a header: path,label or path,x1,y1,x2,y2,label."


@dataclass(frozen=True)
class Row:
    """One line; `corners` is x1, y1, x2, y2 in pixels, None where it has no box."""

    line: int
    path: str
    label: str
    corners: tuple[float, float, float, float] | None
    height: int
    width: int


def evidence(source: Source) -> str:
    """What makes it a list; empty: nothing does."""
    path = source.path
    if not path.is_dir():
        return path.name if path.suffix.lower() in SUFFIXES else ""
    names = [one.name for one in _tables(path)]
    return " or ".join(names)


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.[ct]sv") if path.is_file())


def read(source: Source, reading: Reading) -> Found:
    """Every line with its image, which is not opened."""
    path, wrong = source.path, reading.wrong
    if path.is_dir():
        there = _tables(path)
        if not there:
            raise ConfigError([f"{path}: no .csv or .tsv file"], "Name the file itself.")
        if len(there) != 1:
            names = " or ".join(one.name for one in there)
            raise ConfigError([f"{path}: several lists: {names}"], "Name the file itself.")
        path = there[0]
    images = ImageFolder(path.parent, path.parent, source.images)
    if not images.own.has(path):
        raise ConfigError([f"{path}: {files.OUTSIDE}"], files.OUTSIDE_HINT)
    rows = list(_rows(path, source.split, wrong))
    boxes = any(row.corners for row in rows)
    title = f"{TITLE} of {'boxes' if boxes else 'classes'}"
    title += f", split {source.split}" if source.split else ""
    made = _labelled(path, rows, images, wrong)
    return of_labelled(source, title, path.parent, made, wrong)


# ---- lines -------------------------------------------------------------------------------------


def _rows(path: Path, split: str, wrong: Wrong) -> Iterator[Row]:
    """Lines of the list; a mistake for each that is none. Raises ConfigError for the header."""
    table = _cells(path)
    first = next(table, None)
    if first is None:
        raise ConfigError([f"{path}: empty"], HINT)
    columns, is_header = _columns(path, first)
    if split and "split" not in columns:
        raise ConfigError([f"{path}: no split `{split}`: no column `split`"], "Remove `split`.")
    for line, cells in table if is_header else _again(first, table):
        values = {name: cells[at].strip() for name, at in columns.items() if at < len(cells)}
        if not any(cells) or (split and values.get("split") != split):
            continue
        if any(map(str.strip, cells[len(first[1]) :])):
            counts = f"expected {len(first[1])} cells, as in the first line, got {len(cells)}"
            wrong.add(findings.LABELS, f"{path}:{line}: {counts}", QUOTES)
            continue
        try:
            yield _row(line, values, columns)
        except ValueError as error:
            wrong.add(findings.LABELS, f"{path}:{line}: {error}", HINT)


Cells = tuple[int, list[str]]


def _again(first: Cells, rest: Iterator[Cells]) -> Iterator[Cells]:
    yield first
    yield from rest


def _cells(path: Path) -> Iterator[Cells]:
    """Line and cells, separated as the first line has it."""
    text = files.read_text(path, files.TABLE_BYTES)
    start = text[: text.find("\n")] if "\n" in text else text
    separator = max(",;\t", key=start.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in table:
            yield table.line_num, cells[:MOST_COLUMNS]
    except csv.Error as error:
        raise ConfigError([f"{path}:{table.line_num}: not CSV: {error}"], HINT) from None


def _columns(path: Path, first: Cells) -> tuple[dict[str, int], bool]:
    """Where each column is, and whether the first line says so."""
    line, cells = first
    keys = ["".join(c for c in cell.casefold() if c not in "_- ") for cell in cells]
    found: dict[str, int] = {}
    for name, words in COLUMNS.items():
        places = [at for at, key in enumerate(keys) if key in words]
        if len(places) > 1:
            both = " and ".join(cells[at].strip() for at in places[:2])
            raise ConfigError([f"{path}:{line}: two columns for the {name}: {both}"], HINT)
        if places:
            found[name] = places[0]
    if not found and len(cells) in BARE and Path(cells[0].strip()).suffix:
        return {name: at for at, name in enumerate(BARE[len(cells)])}, False
    if "x1" in found and "x2" not in found:  # then these are the box's
        found |= {own: found.pop(name) for own, name in (("w", "width"), ("h", "height"))
                  if own not in found and name in found}  # fmt: skip
    corners = [name for name in ("x1", "y1", "x2", "y2", "w", "h") if name in found]
    boxed = corners in (["x1", "y1", "x2", "y2"], ["x1", "y1", "w", "h"])
    missing = [name for name in ("path", "label") if name not in found]
    if missing or (corners and not boxed):
        what = " and ".join(missing) or "all of x1, y1, x2, y2"
        seen = files.listed([cell.strip() for cell in cells])
        raise ConfigError([f"{path}:{line}: no column for {what} in: {seen}"], HINT)
    return found, True


def _row(line: int, values: Mapping[str, str], columns: Mapping[str, int]) -> Row:
    """Raises ValueError with what is wrong."""
    if not values.get("path"):
        raise ValueError("path: missing")
    if not is_path(values["path"]):
        raise ValueError(f"expected a path, got {shown(values['path'])}")
    label = values.get("label", "")
    names = ("x1", "y1", *(("x2", "y2") if "x2" in columns else ("w", "h")))
    boxed = "x1" in columns
    texts = [values.get(name, "") for name in names] if boxed else []
    size = [whole(values.get(name, "") or "0") or 0 for name in ("height", "width")]
    if boxed and not any(texts):
        if label:
            raise ValueError(f"label {shown(label)} without a box")
        return Row(line, values["path"], "", None, size[0], size[1])
    if not label:
        raise ValueError("label: missing")
    return Row(line, values["path"], label, _corners(names, texts), size[0], size[1])


def _corners(
    names: Sequence[str], texts: Sequence[str]
) -> tuple[float, float, float, float] | None:
    if not texts:
        return None
    numbers = [number(text) for text in texts]
    for name, text, value in zip(names, texts, numbers, strict=True):
        if value is None:
            raise ValueError(f"{name}: expected a number, got {shown(text or None)}")
    x, y, third, fourth = (value or 0.0 for value in numbers)
    right, bottom = (x + third, y + fourth) if names[2] == "w" else (third, fourth)
    if right < x or bottom < y:
        seen = ", ".join(f"{value:g}" for value in (x, y, right, bottom))
        raise ValueError(f"the box ends before it begins: x1, y1, x2, y2 are {seen}")
    return x, y, right, bottom


# ---- the whole ---------------------------------------------------------------------------------


def _labelled(path: Path, rows: Sequence[Row], images: ImageFolder, wrong: Wrong) -> Labelled:
    names = sorted({row.label for row in rows if row.label})
    own = own_numbers(names)
    made = Labelled(names, own or range(1, len(names) + 1), has_ids=bool(own))
    label = {name: at for at, name in enumerate(names)}
    known: dict[str, int | None] = {}
    by_file: dict[str, int] = {}
    seen: dict[tuple[Any, ...], int] = {}
    for row in rows:
        if row.path not in known:
            known[row.path] = _image(path, row, images, made, by_file, wrong)
        image, key = known[row.path], (known[row.path], row.label, row.corners)
        if image is None or not row.label:
            continue
        first = seen.setdefault(key, row.line)
        if first != row.line:
            wrong.add(findings.LABELS, f"{path}:{row.line}: repeats line {first}")
            continue
        fields = box(*row.corners) if row.corners else {}
        made.label(f"{path}:{row.line}", image, label[row.label], **fields)
    return made


def _image(
    path: Path,
    row: Row,
    images: ImageFolder,
    made: Labelled,
    by_file: dict[str, int],
    wrong: Wrong,
) -> int | None:
    """The id of the row's image; None with a mistake where its file cannot be told.

    A file is one image, by whatever names its lines have it.
    """
    where, (file, others) = f"{path}:{row.line}", images.find(row.path)
    if not images.own.has(file):
        about = f"{where}: {shown(row.path)}"
        wrong.add(findings.OUTSIDE, f"{about}: {files.OUTSIDE}", files.OUTSIDE_HINT)
    elif others:
        names = " or ".join(str(one.relative_to(images.images)) for one in (file, *others))
        wrong.add(findings.AMBIGUOUS, f"{where}: {shown(row.path)} ambiguous: {names}")
    elif not is_file(file):
        wrong.add(findings.ABSENT, f"{where}: no image file {file}")
    else:
        own = os.path.normpath(file)
        if own not in by_file:
            by_file[own] = made.image(file, row.path, row.height, row.width)
        return by_file[own]
    return None
