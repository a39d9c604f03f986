"""Ultralytics' form: `data.yaml`, images, and beside them one text file of labels for each image.

Boxes, outlines and keypoints in shares of the image's sides. What `path:`, the splits, lists of
images and `../` mean is as Ultralytics has it; the folder of its settings is `BENCH_DATA` here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError
from ...metrics.coco_entries import is_path
from ...metrics.json_values import shown
from ..image_paths import DECLARED, OwnFiles, declared, is_file, is_folder
from . import files, findings, yolo_yaml
from .findings import Wrong
from .found import Found, Labelled, Reading, box, of_labelled
from .source import Source
from .yolo_yaml import Description

TITLE: Final = "Ultralytics YOLO"
TAKES_IMAGES: Final = False
YAMLS: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
SPLITS: Final = ("val", "test", "train")
#: rounding of what tools write may lead so far beyond an image's edge, in shares of its side
SLACK: Final = 0.01
#: share of its box that a person covers, as Ultralytics and xtcocotools have it: OKS is of the
#: person's area, which YOLO labels do not have
KEYPOINT_AREA: Final = 0.53
LIST_HINT: Final = "List one image per line."
FORMS: Final = "class x y width height, or class x1 y1 x2 y2 x3 y3 …"


@dataclass(frozen=True)
class Line:
    """One object of a label file; numbers are shares of the image's sides."""

    label: int
    numbers: tuple[float, ...]


def evidence(source: Source) -> str:
    """What makes it Ultralytics'; empty: nothing does."""
    path = source.path
    if not path.is_dir():
        return path.name if path.suffix.lower() in (".yaml", ".yml") else ""
    return next((name for name in YAMLS if (path / name).is_file()), "")


def read(source: Source, reading: Reading) -> Found:
    """The split's images with their labels; of an image only its size is looked at."""
    yaml = source.path
    if yaml.is_dir():
        there = [yaml / name for name in YAMLS if (yaml / name).is_file()]
        if not there:
            raise ConfigError([f"{yaml}: no {YAMLS[0]}"], "Name the YAML file itself.")
        yaml = there[0]
    own = OwnFiles(yaml.parent)
    if not own.has(yaml):
        raise ConfigError([f"{yaml}: {files.OUTSIDE}"], files.OUTSIDE_HINT)
    about = yolo_yaml.read(yaml)
    split = _split(about, source.split)
    root = _root(about, own)
    made = Labelled(about.names)
    places = about.splits[split]
    unread: list[Path] = []
    found = (path for place in places for path in _images(about, split, root, place, own, unread))
    images = [Path(name) for name in dict.fromkeys(map(os.path.normpath, found))]
    wrong, labelled = reading.wrong, 0
    for image in images:
        if why := files.own_image(image, own):
            group = findings.ABSENT if why.endswith("no such file") else findings.OUTSIDE
            wrong.add(group, why, files.OUTSIDE_HINT if group == findings.OUTSIDE else "")
            continue
        labelled += _add(made, about, image, root, own, reading)
    reading.facts.save()
    if made.paths and not labelled:
        where = label_path(made.paths[0])
        wrong.add(
            findings.LABELS,
            f"{yaml}: no label files: none of {len(made.paths):,} images has one, such as {where}",
            "Put the labels of `images/` into `labels/`, with the same names.",
        )
    elif labelled < len(made.paths):
        empty = len(made.paths) - labelled
        made.notes.append(f"images without a label file (no objects): {empty:,}")
    made.notes += files.unread_note(unread)
    return of_labelled(source, f"{TITLE}, split {split}", root, made, wrong)


# ---- where images are --------------------------------------------------------------------------


def _split(about: Description, asked: str) -> str:
    """The split that is asked for, else `val`; raises ConfigError for one that is not there."""
    wanted = asked or SPLITS[0]
    if wanted in about.splits:
        return wanted
    known = files.listed(list(about.splits))
    raise ConfigError(
        [f"{about.path}: no split `{wanted}`; it has {known or 'none'}"],
        "Name one of them as the dataset's `split`.",
    )


def _root(about: Description, own: OwnFiles) -> Path:
    """Where paths of the splits begin: `path`, from data.yaml or from a declared folder."""
    if not about.root:
        return about.path.parent
    line = f"{about.path}:{about.line('path')}: path"
    tops = [about.path.parent, *declared()]
    found = next((top / about.root for top in tops if is_folder(top / about.root)), None)
    if found is None:
        # as exported from another machine: the description lies in the dataset
        if any(is_folder(_begins(about, place)) for one in about.splits.values() for place in one):
            return about.path.parent
        raise ConfigError(
            [f"{line}: no folder {shown(about.root)} in {' or '.join(map(str, tops))}"],
            f"Mend `path`, or name the folder that it lies in in {DECLARED}.",
        )
    if not own.has(found / "x"):
        raise ConfigError([f"{line}: {shown(about.root)}: {files.OUTSIDE}"], files.OUTSIDE_HINT)
    return found


def _begins(about: Description, place: str) -> Path:
    return about.path.parent / place


def _images(
    about: Description, split: str, root: Path, place: str, own: OwnFiles, unread: list[Path]
) -> Iterator[Path]:
    """Of one folder, or of a text file that lists images; raises ConfigError for neither."""
    line = f"{about.path}:{about.line(split)}: {split}"
    path = root / place
    if not (is_folder(path) or is_file(path)) and place.startswith("../"):
        path = root / place[3:]  # Roboflow counts from a folder within
    if not own.has(path / "x" if is_folder(path) else path):
        raise ConfigError([f"{line}: {shown(place)}: {files.OUTSIDE}"], files.OUTSIDE_HINT)
    if is_folder(path):
        return iter(files.images_below(path, own, unread))
    if is_file(path):
        return _listed(path)
    raise ConfigError(
        [f"{line}: no folder or list of images {path}"],
        "Name a folder of images, or a text file with one image a line.",
    )


def _listed(path: Path) -> Iterator[Path]:
    """Images of a list; `./` is the list's folder, as Ultralytics has it, and so is no folder."""
    for at, line in enumerate(files.read_text(path, files.TABLE_BYTES).splitlines(), 1):
        if not is_path(line):
            raise ConfigError([f"{path}:{at}: expected a path, got {shown(line)}"], LIST_HINT)
        if line.strip():
            yield path.parent / line.strip().replace("\\", "/")


def label_path(image: Path) -> Path:
    """`labels/` for the last `images/` of the path, `.txt` for the suffix."""
    parts = list(image.parent.parts)
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts) / f"{image.stem}.txt"


# ---- labels ------------------------------------------------------------------------------------


def _add(
    made: Labelled, about: Description, image: Path, root: Path, own: OwnFiles, reading: Reading
) -> bool:
    """Add an image with its objects, unless it cannot be used; whether it has a label file."""
    labels, wrong = label_path(image), reading.wrong
    if not own.has(labels):
        wrong.add(findings.OUTSIDE, f"{labels}: {files.OUTSIDE}", files.OUTSIDE_HINT)
        return False
    there = labels.is_file()
    lines: list[tuple[str, Line]] = []
    if there:
        try:
            lines = list(_lines(labels, about, wrong))
        except ConfigError as error:
            wrong.take(findings.LABELS, error)
    try:
        height, width = reading.facts.size(image)
    except ConfigError as error:
        wrong.take(findings.DAMAGED, error)
        return False
    name = image.relative_to(root) if image.is_relative_to(root) else image
    number = made.image(image, name.as_posix(), height, width)
    for place, line in lines:
        fields = _fields(line.numbers, about.keypoints, height, width)
        made.label(place, number, line.label, **fields)
    return there


def _lines(path: Path, about: Description, wrong: Wrong) -> Iterator[tuple[str, Line]]:
    """Objects of a label file, each once; a mistake for each line that is none."""
    seen: set[str] = set()
    for at, text in enumerate(files.read_text(path, files.LABEL_BYTES).splitlines(), 1):
        words = text.split()
        key = " ".join(words)
        if not words or key in seen:
            continue
        seen.add(key)
        try:
            yield f"{path}:{at}", parse(words, len(about.names), about.keypoints)
        except ValueError as error:
            wrong.add(findings.LABELS, f"{path}:{at}: {error}", "Export the labels again.")


def parse(words: Sequence[str], classes: int, keypoints: tuple[int, int] | None) -> Line:
    """A line of a label file; raises ValueError with what is wrong with it."""
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        raise ValueError(f"expected {FORMS}, got {shown(' '.join(words))}") from None
    if not all(map(math.isfinite, numbers)) or not numbers[0].is_integer():
        raise ValueError(f"expected {FORMS}, got {shown(' '.join(words))}")
    label, rest = int(numbers[0]), numbers[1:]
    if not 0 <= label < classes:
        raise ValueError(f"class {label}, but data.yaml names 0 to {classes - 1}")
    if keypoints:
        wanted = 4 + keypoints[0] * keypoints[1]
        if len(rest) != wanted:
            counts = f"a class and {wanted} numbers (kpt_shape {list(keypoints)})"
            raise ValueError(f"expected {counts}, got a class and {len(rest)}")
    elif len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        raise ValueError(f"expected {FORMS}, got a class and {len(rest)} numbers")
    _check_shares(rest, keypoints)
    return Line(label, rest)


def _check_shares(numbers: Sequence[float], keypoints: tuple[int, int] | None) -> None:
    """Raises ValueError for what are pixels, or lies outside of the image."""
    shares = list(numbers[:4] if keypoints else numbers)
    if keypoints:
        for at in range(4, len(numbers), keypoints[1]):
            shares += numbers[at : at + 2]
    if min(shares) < -SLACK or max(shares) > 1 + SLACK:
        wrong = next(one for one in shares if not -SLACK <= one <= 1 + SLACK)
        raise ValueError(f"{wrong:g} is no share of the image's side, from 0 to 1")
    if (len(numbers) == 4 or keypoints) and min(numbers[2:4]) < 0:
        raise ValueError(f"width and height are {numbers[2]:g} and {numbers[3]:g}")


def _fields(
    numbers: tuple[float, ...], keypoints: tuple[int, int] | None, height: int, width: int
) -> dict[str, Any]:
    """`bbox`, `segmentation`, `keypoints` of a COCO annotation, in pixels."""
    if len(numbers) != 4 and not keypoints:
        x, y = [one * width for one in numbers[0::2]], [one * height for one in numbers[1::2]]
        corners = [part for pair in zip(x, y, strict=True) for part in pair]
        return {**box(min(x), min(y), max(x), max(y)), "segmentation": [corners]}
    across, down = numbers[0] * width, numbers[1] * height
    w, h = numbers[2] * width, numbers[3] * height
    fields = box(across - w / 2, down - h / 2, across + w / 2, down + h / 2)
    if keypoints:
        fields |= _keypoints(numbers[4:], keypoints[1], height, width)
        fields["area"] *= KEYPOINT_AREA
    return fields


def _keypoints(numbers: Sequence[float], step: int, height: int, width: int) -> dict[str, Any]:
    """COCO's x, y, visibility; without one, a point at 0, 0 is not labelled."""
    flat: list[float] = []
    for at in range(0, len(numbers), step):
        x, y = numbers[at] * width, numbers[at + 1] * height
        seen = numbers[at + 2] if step == 3 else 2.0 * bool(x or y)
        flat += [x, y, int(seen)]
    return {"keypoints": flat, "num_keypoints": sum(one > 0 for one in flat[2::3])}
