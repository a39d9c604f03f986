"""A tar archive as a stream of blocks, created while it is sent; `untrusted.tar` unpacks them."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import StepFailed
from .manifest import FileEntry, Manifest

CHUNK_BYTES = 1 << 18
_BLOCK = tarfile.BLOCKSIZE


def pack(entries: Iterable[FileEntry], manifest: Manifest, marker: str) -> Iterator[bytes]:
    """The entries, and the folder `marker` that says what all of the manifest is, as its end."""
    now = int(time.time())
    buffer = bytearray()
    for entry in entries:
        buffer += _header(entry, now)
        if not entry.is_folder and not entry.content.startswith("link:"):
            for data in read_exactly(entry.source, entry.size):
                buffer += data
                if len(buffer) >= CHUNK_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
            buffer += bytes(-entry.size % _BLOCK)
    buffer += _record(manifest, marker, now) + bytes(2 * _BLOCK)
    yield bytes(buffer)


def read_exactly(path: Path, size: int) -> Iterator[bytes]:
    """The file in pieces. Raises StepFailed when it is no longer so long."""
    left = size
    with open(path, "rb", buffering=0) as file:
        while left and (data := file.read(min(left, CHUNK_BYTES))):
            left -= len(data)
            yield data
        if left or file.read(1):
            raise StepFailed(f"{path}: changed during the transfer", "Try again.")


def _header(entry: FileEntry, now: int) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.mtime, info.size = entry.mode & 0o777, now, entry.size
    if entry.is_folder:
        info.type = tarfile.DIRTYPE
    elif entry.content.startswith("link:"):
        info.type, info.linkname = tarfile.SYMTYPE, entry.content.removeprefix("link:")
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _record(manifest: Manifest, marker: str, now: int) -> bytes:
    paths = "".join(f"./{entry.path}\0" for entry in manifest.files)
    members = {
        "content": manifest.content.encode() + b"\n",
        "manifest": manifest.lines(),
        "files": paths.encode("utf-8", "surrogateescape"),
    }
    made = bytearray(_header(FileEntry(marker, Path(), 0o755, 0, "dir"), now))
    for name, data in members.items():
        made += _header(FileEntry(f"{marker}/{name}", Path(), 0o644, len(data), ""), now)
        made += data + bytes(-len(data) % _BLOCK)
    return bytes(made)
