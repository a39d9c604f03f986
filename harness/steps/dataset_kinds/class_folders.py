"""Folders of images for classification: the name of a folder is the class of what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...errors import ConfigError
from ..image_paths import OwnFiles, walk
from . import files, findings
from .found import Found, Labelled, Reading, of_labelled, own_numbers
from .source import Source

TITLE: Final = "image folders"
TAKES_IMAGES: Final = False
SPLITS: Final = ("val", "valid", "validation", "test", "train", "training")
#: folders of other kinds, which are no classes
OTHERS: Final = frozenset(
    ("images", "labels", "annotations", "jpegimages", "imagesets", "segmentationclass",
     "segmentationobject")
)  # fmt: skip


def evidence(source: Source) -> str:
    """What makes it classes of whole images; empty: nothing does."""
    top = source.path / source.split if source.split else source.path
    if not source.path.is_dir() or not top.is_dir():
        return ""
    folders = _folders(top)
    if any(path.name.lower() in OTHERS for path in folders):
        return ""
    if not source.split and _splits(folders):
        folders = [inner for path in folders for inner in _folders(path)]
    own = OwnFiles(source.path)
    folders = [path for path in folders if path.name.lower() not in OTHERS and own.has(path / "x")]
    filled = (path for path in folders if _has_image(path))
    first = next(filled, None)
    return f"{first.relative_to(source.path)}/" if first else ""


def read(source: Source, reading: Reading) -> Found:
    """Every image below the class folders; none is opened."""
    top, wrong = _top(source), reading.wrong
    own, folders = OwnFiles(source.path), _folders(top)
    names = [path.name for path in folders]
    made, empty = Labelled(names, own_numbers(names)), []
    unread: list[Path] = []
    for label, folder in enumerate(folders):
        if not own.has(folder / "x"):
            wrong.add(findings.OUTSIDE, f"{folder}: {files.OUTSIDE}", files.OUTSIDE_HINT)
            continue
        images = files.images_below(folder, own, unread)
        empty += [] if images else [folder.name]
        for path in images:
            if why := files.own_image(path, own):
                wrong.add(findings.OUTSIDE, why, files.OUTSIDE_HINT)
                continue
            number = made.image(path, path.relative_to(top).as_posix())
            made.label(str(path), number, label)
    if empty:
        made.notes.append(f"class folders without an image: {files.listed(empty)}")
    made.notes += files.unread_note(unread)
    title = f"{TITLE}, split {source.split}" if source.split else TITLE
    return of_labelled(source, title, top, made, wrong)


def _top(source: Source) -> Path:
    """The folder of the class folders; raises ConfigError where a split is to be named."""
    splits = _splits(_folders(source.path))
    if source.split and not (source.path / source.split).is_dir():
        raise ConfigError(
            [f"{source.path}: no split `{source.split}`: no such folder"],
            f"Name one of {files.listed(splits)}." if splits else "Remove `split`.",
        )
    if not source.split and splits:
        raise ConfigError(
            [f"{source.path}: split: required: {' or '.join(splits)}"],
            "Name it as the dataset's `split`.",
        )
    return source.path / source.split


def _folders(top: Path) -> list[Path]:
    try:
        return sorted(path for path in top.iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError:
        return []


def _splits(folders: list[Path]) -> list[str]:
    """Names of those that are splits, where no other one has images."""
    names = [path.name for path in folders if path.name.lower() in SPLITS]
    others = (path for path in folders if path.name not in names)
    return names if names and not any(map(_has_image, others)) else []


def _has_image(folder: Path) -> bool:
    return any(files.is_image(path) for path in walk(folder))
