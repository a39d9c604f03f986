"""Files of a dataset that may come from anybody: regular, of a bounded size, and its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ... import regular
from ...errors import ConfigError
from ..image_paths import DECLARED, OwnFiles, is_file, walk

MB: Final = 1 << 20
#: of one label file, of a file about the whole dataset, of all annotations in one file
LABEL_BYTES: Final = 16 * MB
ABOUT_BYTES: Final = 256 << 10
TABLE_BYTES: Final = 128 * MB
COCO_BYTES: Final = 2048 * MB
#: names of image files that can be decoded
SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp",
     ".dib", ".gif", ".pbm", ".pgm", ".ppm", ".pnm")
)  # fmt: skip
#: names of image files that cannot
UNREAD: Final = frozenset(
    (".avif", ".cr2", ".cr3", ".dng", ".exr", ".heic", ".heif", ".jp2", ".jpx", ".jxl", ".nef",
     ".pfm", ".tga")
)  # fmt: skip
OUTSIDE: Final = f"outside of the dataset's folder and of the folders in {DECLARED}"
OUTSIDE_HINT: Final = f"Copy it into the dataset's folder, or add its folder to {DECLARED}."


def read_bytes(path: Path, most: int) -> bytes:
    """All of a regular file; raises ConfigError for anything else, or if larger than `most`."""
    try:
        with regular.opened(path) as file:
            size, data = os.fstat(file.fileno()).st_size, file.read(most)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: {getattr(error, 'strerror', None) or error}"]) from None
    if size > most:
        raise ConfigError([f"{path}: {size:,} bytes exceed the limit of {most:,}"])
    return data


def read_text(path: Path, most: int) -> str:
    """As `read_bytes`, in UTF-8, also with a byte order mark; UTF-16 where that says so."""
    data = read_bytes(path, most)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            [f"{path}:{line}: not UTF-8: {error.reason}"], "Save the file as UTF-8."
        ) from None


def unreadable(error: OSError, path: Path) -> ConfigError:
    """What the system says of a file, or else of the dataset at `path`."""
    return ConfigError(
        [f"{error.filename or path}: {error.strerror or error}"], "Make it readable, or remove it."
    )


def is_image(path: Path) -> bool:
    """By its name; hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def images_below(top: Path, own: OwnFiles, unread: list[Path]) -> list[Path]:
    """Image files below a folder; those in a format that is not read are added to `unread`.

    A link to a folder that is not the dataset's own is itself among what is returned.
    """
    paths, out = below(top, own)
    unread += [path for path in paths if path.suffix.lower() in UNREAD]
    return [path for path in paths if is_image(path)] + out


def below(top: Path, own: OwnFiles) -> tuple[list[Path], list[Path]]:
    """Files below a folder, and links to folders that are not the dataset's own.

    Links to its own folders are followed, once.
    """
    found: list[Path] = []
    out: list[Path] = []
    seen: list[str] = []
    todo = [top]
    for folder in todo:
        real = os.path.realpath(folder)
        if any(os.path.commonpath((real, one)) in (real, one) for one in seen):
            continue
        seen.append(real)
        linked: list[Path] = []
        found += walk(folder, linked)
        todo += [link for link in linked if own.has(link)]
        out += [link for link in linked if not own.has(link)]
    return found, out


def unread_note(unread: Sequence[Path]) -> list[str]:
    """A note on files that are left out; none where there are none."""
    suffixes = sorted({path.suffix.lower() for path in unread})
    what = f"images in a format that is not read ({', '.join(suffixes)})"
    return [f"{what}: {len(unread):,}, such as {unread[0]}"] if unread else []


def own_image(path: Path, own: OwnFiles) -> str:
    """Why an image file cannot be taken; empty where it can."""
    if not own.has(path):
        return f"{path}: {OUTSIDE}"
    return "" if is_file(path) else f"{path}: no such file"


def listed(values: list[str], most: int = 10) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more
