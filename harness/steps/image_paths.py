"""Finds the file of an annotated `file_name`, which may have folders, backslashes or be a URL.

A dataset is untrusted: no name and no link in it leads to files that are not its own.
"""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import ConfigError

#: files below a folder; COCO has 330,000
MOST_FILES: Final = 2_000_000
#: more folders into which links of a dataset may lead, separated as in PATH
DECLARED: Final = "BENCH_DATA"


def declared() -> list[Path]:
    """The folders that the user has declared."""
    return [Path(one) for one in os.environ.get(DECLARED, "").split(os.pathsep) if one]


def walk(top: Path, linked: list[Path] | None = None) -> Iterator[Path]:
    """Files below a folder, sorted by name; links to folders and hidden folders are not followed.

    The links are added to `linked`. Raises ConfigError if there are too many files, or for a folder
    that cannot be read.
    """
    count = 0
    for folder, folders, names in os.walk(top, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if linked is not None:
            linked += [path for name in folders if (path := Path(folder, name)).is_symlink()]
        count += len(names)
        if count > MOST_FILES:
            raise ConfigError([f"{top}: more than {MOST_FILES:,} files"], "Select a subfolder.")
        for name in sorted(names):
            yield Path(folder, name)


def _unreadable(error: OSError) -> None:
    """Nothing below it would be missed, else."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise ConfigError([f"{error.filename}: {error.strerror}"], "Make the folder readable.")


class OwnFiles:
    """Decides which paths belong to a dataset: in its folders, or in one that the user declared."""

    def __init__(self, *dataset: Path) -> None:
        roots = (*map(str, dataset), *map(str, declared()))
        self._roots = [Path(os.path.realpath(root)) for root in roots if root]
        self._folders: dict[Path, bool] = {}

    def has(self, path: Path) -> bool:
        """Follows all links; the path need not exist, or be possible."""
        try:
            if os.path.islink(path) or path.name in ("", ".."):  # noqa: PTH114
                return self._is_below(path)
            if path.parent not in self._folders:
                self._folders[path.parent] = self._is_below(path.parent)
            return self._folders[path.parent]
        except ValueError:  # a NUL character: no file has that name
            return True

    def _is_below(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(root) for root in self._roots)


def is_file(path: Path) -> bool:
    """Whether it is a file; also for invalid paths, for which pathlib would raise."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """As `is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


class ImageFolder:
    """The files below `images/` of a dataset's folder; they are listed only when a name is odd.

    `images` is that folder if it has another name; `named` is one that the user chose, which
    belongs to the dataset wherever it is.
    """

    def __init__(
        self, dataset: Path, images: Path | None = None, named: Path | None = None
    ) -> None:
        self._dataset = dataset
        self.images = named or images or dataset / "images"
        self.own = OwnFiles(dataset, *([named] if named else []))

    def find(self, name: str) -> tuple[Path, list[Path]]:
        """The file that `name` refers to, and other candidates.

        It is in `images/` or next to it, or is the one file there whose path ends alike; else
        it is where the name says, even if there is no file, or none of the dataset's own.
        """
        plain = self.images / name.lstrip("/")
        for path in (plain, self._dataset / name.lstrip("/")):
            if self.own.has(path) and is_file(path):
                return path, []
        for variant in variants(name):
            found = self._ending_like(comparable(variant)[::-1])
            if found:
                return found[0], found[1:]
        return plain, []

    def _ending_like(self, parts: Sequence[str]) -> list[Path]:
        """Files that end as `parts` do: as far as both name folders, these are the same.

        `parts` begin with the file's name: files that end alike are neighbours.
        """
        whole = slice(None)
        for most in range(len(parts), 0, -1):
            # a file in more folders than the name has is alike, too
            part = slice(most) if most == len(parts) else whole
            wanted = list(parts[:most])
            first = bisect_left(self._files, wanted, key=itemgetter(0))
            end = bisect_right(self._files, wanted, first, key=lambda one: one[0][part])
            if first < end:
                return sorted(path for _, path in self._files[first:end])
        return []

    @cached_property
    def _files(self) -> list[tuple[list[str], Path]]:
        """The parts of each from its name on, in their order."""
        paths = list(walk(self.images))
        names = (comparable(path.relative_to(self.images).as_posix())[::-1] for path in paths)
        return sorted(zip(names, paths, strict=True), key=itemgetter(0))


def variants(name: str) -> Iterator[str]:
    """The interpretations of a name, most literal first."""
    yield name
    yield unquote(name)
    try:
        url = urlsplit(name)
    except ValueError:
        return
    yield unquote(url.path)
    yield from parse_qs(url.query).get("d", [])  # Label Studio's local files: /data/…/?d=path


def comparable(path: str) -> list[str]:
    """Folders and name as systems that ignore case, or compose letters otherwise, have them."""
    text = unicodedata.normalize("NFC", path.replace("\\", "/")).casefold()
    return [part for part in text.split("/") if part not in ("", ".")]
