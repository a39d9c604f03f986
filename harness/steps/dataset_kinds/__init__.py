"""Kinds of datasets, as people have them: each is a module of this folder and a line of REGISTRY.

A kind is told from what the path is. It is read where it lies: nothing is copied or written there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Protocol

from ...errors import ConfigError
from ...metrics.json_values import shown
from ..image_paths import is_folder
from . import class_folders, coco, files, table, voc, yolo
from .found import Found, Reading
from .source import Source

__all__ = ["REGISTRY", "Kind", "read"]


class Kind(Protocol):
    """A module of this folder."""

    @property
    def TITLE(self) -> str: ...

    @property
    def TAKES_IMAGES(self) -> bool:
        """Whether the folder of the images may be named."""
        ...

    def evidence(self, source: Source) -> str:
        """The file that makes the source one of this kind; empty: it is none."""
        ...

    def read(self, source: Source, reading: Reading) -> Found:
        """Images with their files and the truth; raises ConfigError with all mistakes.

        Mistakes that cost one image or label go to `reading.wrong`, so that all are found.
        """
        ...


REGISTRY: Final[dict[str, Kind]] = {
    "coco": coco,
    "yolo": yolo,
    "voc": voc,
    "csv": table,
    "folders": class_folders,
}
#: bytes; a file may be called so, with a suffix
LONGEST_SPLIT: Final = 200
NEEDED: Final = (
    "Select COCO JSON, Ultralytics' data.yaml, a CSV list, or a folder of Pascal VOC or of classes."
)


def read(source: Source, reading: Reading) -> Found:
    """The source by its kind. Raises ConfigError with all mistakes."""
    try:
        return kind_of(source).read(source, reading)
    except OSError as error:  # no permission, a disk that fails
        raise files.unreadable(error, source.path) from error


def kind_of(source: Source) -> Kind:
    """As it says, or what is there; raises ConfigError where that may be several, or none."""
    path = source.path
    if not os.path.exists(path):  # noqa: PTH110 - pathlib raises for a name that is too long
        hint = "Put a dataset there, or name another one."
        raise ConfigError([f"{path}: no such file or folder"], hint)
    if source.images is not None and not is_folder(source.images):
        raise ConfigError([f"{source.images}: no such folder"], "Name the folder of the images.")
    if not _is_name(source.split):
        what = f"split: expected a name such as val, got {shown(source.split)}"
        raise ConfigError([f"{path}: {what}"], "Name one of the dataset's splits.")
    if source.kind:
        return _fitting(source, REGISTRY[source.kind])
    seen = {name: kind.evidence(source) for name, kind in REGISTRY.items()}
    claims = {name: what for name, what in seen.items() if what}
    if len(claims) > 1:
        raise ConfigError([f"{path}: ambiguous: {_several(claims)}"], _which(claims))
    if not claims:
        raise ConfigError([f"{path}: no supported dataset: {_contents(source)}"], NEEDED)
    return _fitting(source, REGISTRY[next(iter(claims))])


def _is_name(split: str) -> bool:
    """Whether a file or a folder of the dataset can be called so."""
    odd = split.startswith(".") or set(split) & set("/\\\0")
    return not odd and len(os.fsencode(split)) <= LONGEST_SPLIT


def _fitting(source: Source, kind: Kind) -> Kind:
    """Raises ConfigError for a folder of images that the kind would not look into."""
    if source.images and not kind.TAKES_IMAGES:
        what = f"not used for {kind.TITLE}"
        raise ConfigError([f"{source.path}: images: {what}"], "Remove `images`.")
    return kind


def _several(claims: Mapping[str, str]) -> str:
    return " or ".join(f"{REGISTRY[name].TITLE} ({what})" for name, what in claims.items())


def _which(claims: Mapping[str, str]) -> str:
    return f"Select one, such as `kind: {next(iter(claims))}`."


def _contents(source: Source) -> str:
    """What is there instead, a few names."""
    if not source.path.is_dir():
        return f"a file {source.path.suffix or 'without a suffix'}"
    names = sorted(f"{one.name}/" if one.is_dir() else one.name for one in source.path.iterdir())
    if not names:
        return "the folder is empty"
    rest = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"it has {', '.join(names[:5])}{rest}"
