"""sha256 and size in pixels of a dataset's files, found once and kept in the cache.

A file is known by its path, size, times of change and inode: one that was touched is read again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .. import serial
from ..cache import file_sha256, unusable
from ..workspace import cache_root
from . import image_files

KIND: Final = "hashes"
#: a file that was changed so short a time before it was read may change again unnoticed, ns: some
#: file systems keep times to 2 s
RACY_NS: Final = 2_000_000_000
READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
_lock = threading.Lock()


class FileFacts:
    """What is known of the files of the dataset at `source`; `save` keeps it for the next time."""

    def __init__(self, source: Path) -> None:
        # sizes are those of a decoder, which may turn images otherwise after an update
        known = os.fsencode(source.absolute()) + f"\0{image_files.VERSION}".encode()
        name = hashlib.sha256(known).hexdigest()
        self._file = cache_root() / KIND / f"dataset-{name[:32]}.json"
        self._known = self._load()
        self._changed = False

    def sha256(self, path: Path) -> str:
        """Of the file's bytes. Raises OSError."""
        return str(self._fact(path, "sha256", lambda: file_sha256(path)))

    def size(self, path: Path) -> tuple[int, int]:
        """Height and width as `image_files.size_of` has them. Raises ConfigError, OSError."""
        height, width = self._fact(path, "size", lambda: list(image_files.size_of(path, 0, 0)))
        return height, width

    def save(self) -> None:
        """Two processes at once do not disturb each other. Raises BenchError for a full disk."""
        if not self._changed:
            return
        try:
            with _lock:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                part = self._file.with_name(f".{self._file.name}.{os.getpid()}.part")
                part.write_text(serial.dumps(self._known), encoding="utf-8")
                part.replace(self._file)
        except OSError as error:
            if error.errno not in READ_ONLY:  # there, they are found again the next time
                raise unusable(self._file, error) from error
        self._changed = False

    def _fact(self, path: Path, name: str, find: Callable[[], Any]) -> Any:
        key, stamp, now = _key(path), _stamp(path), time.time_ns()
        known = self._known.get(key)
        if known is None or known["stamp"] != stamp:
            known = {"stamp": stamp}
        if name not in known:
            known[name] = find()
            if _stamp(path) == stamp and now - max(stamp[1], stamp[2]) > RACY_NS:
                self._known[key] = known
                self._changed = True
        return known[name]

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            found = serial.parse(self._file.read_bytes(), KIND)
        except (OSError, serial.Malformed):
            return {}
        return {k: v for k, v in found.items() if _sound(v)} if isinstance(found, dict) else {}


def _key(path: Path) -> str:
    """The path as text, also where it is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _sound(fact: Any) -> bool:
    """Whether an entry is as we write it."""
    if not isinstance(fact, dict) or not isinstance(fact.get("stamp"), list):
        return False
    size = fact.get("size", [1, 1])
    right_size = isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)
    return right_size and isinstance(fact.get("sha256", ""), str)
