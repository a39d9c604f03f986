"""What is in a file or folder of this machine: hashes, made again only of what was touched."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import StepFailed
from ..workspace import cache_root

#: a file that was changed so short a time before it was read may change again unnoticed, ns
_RACY_NS = 100_000_000
_lock = threading.Lock()


@dataclass(frozen=True)
class FileEntry:
    """One file, link or folder; `path` is relative to `root`, with slashes."""

    path: str
    root: Path
    mode: int
    size: int
    #: sha256 of a file, `link:target`, or `dir`
    content: str

    @property
    def source(self) -> Path:
        """Where it is on this machine."""
        return self.root / self.path

    @property
    def is_folder(self) -> bool:
        return self.content == "dir"

    @property
    def digest(self) -> str:
        """Changes with anything that is pushed; has no space in it."""
        content = self.content
        if content.startswith("link:"):
            content = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{self.mode & 0o777:o}:{content}"


@dataclass(frozen=True)
class Manifest:
    """All of a folder, or one file."""

    entries: tuple[FileEntry, ...]

    @property
    def content(self) -> str:
        """One hash for all of it."""
        whole = hashlib.sha256()
        for entry in self.entries:
            whole.update(f"{entry.digest} {entry.path}\0".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return tuple(entry for entry in self.entries if not entry.is_folder)

    def lines(self) -> bytes:
        """`digest path` of each file, NUL-separated: what a device keeps."""
        text = "".join(f"{entry.digest} {entry.path}\0" for entry in self.files)
        return text.encode("utf-8", "surrogateescape")


def parse(lines: bytes) -> dict[str, str]:
    """path -> digest, of `Manifest.lines`."""
    found = {}
    for line in lines.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        digest, _, path = line.partition(" ")
        found[path] = digest
    return found


def read(path: Path) -> Manifest:
    """Raises OSError, StepFailed for what is no file, folder or link."""
    known = _Known(path)
    if path.is_dir():
        manifest = Manifest(tuple(_walk(path, str(path), "", known)))
    else:
        manifest = Manifest((_entry(path.parent, path.name, path.stat(), known),))
    known.save()
    return manifest


def _walk(root: Path, folder: str, prefix: str, known: _Known) -> list[FileEntry]:
    entries: list[FileEntry] = []
    with os.scandir(folder) as found:
        for item in sorted(found, key=lambda item: item.name):
            path = prefix + item.name
            entries.append(_entry(root, path, item.stat(follow_symlinks=False), known))
            if item.is_dir(follow_symlinks=False):
                entries += _walk(root, item.path, path + "/", known)
    return entries


def _entry(root: Path, path: str, seen: os.stat_result, known: _Known) -> FileEntry:
    mode = seen.st_mode
    if stat.S_ISREG(mode):
        return FileEntry(path, root, mode, seen.st_size, known.hash(root, path, seen))
    if stat.S_ISDIR(mode):
        return FileEntry(path, root, mode, 0, "dir")
    if stat.S_ISLNK(mode):
        return FileEntry(path, root, 0o777, 0, f"link:{(root / path).readlink()}")
    raise StepFailed(f"{root / path}: not a file, folder or link")


class _Known:
    """Hashes of the files under one path from earlier times, by size, times and inode."""

    def __init__(self, root: Path) -> None:
        name = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
        self._file = cache_root() / "hashes" / f"{name[:32]}.json"
        self._old: dict[str, list[object]] = self._load()
        self._new: dict[str, list[object]] = {}

    def hash(self, root: Path, path: str, seen: os.stat_result) -> str:
        """sha256 of the file's bytes."""
        stamp = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]
        old = self._old.get(path)
        if old is not None and old[:4] == stamp:
            self._new[path] = old
            return str(old[4])
        now = time.time_ns()
        with open(root / path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if now - max(seen.st_mtime_ns, seen.st_ctime_ns) > _RACY_NS:
            self._new[path] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Keep them for the next time; two at once do not disturb each other."""
        if self._new == self._old:
            return
        with _lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_name(f".{self._file.name}.{os.getpid()}.part")
            part.write_text(json.dumps(self._new, ensure_ascii=True))
            part.replace(self._file)

    def _load(self) -> dict[str, list[object]]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        entries = found.items() if isinstance(found, dict) else ()
        return {path: entry for path, entry in entries if _is_known(entry)}


def _is_known(entry: object) -> bool:
    """Size, two times, inode and hash, as `_Known.hash` keeps them."""
    return isinstance(entry, list) and [type(one) for one in entry] == [int] * 4 + [str]
