"""The phone's files: the `sync:` service (STAT, LIST, SEND, RECV, QUIT), version 1."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from .adbd_stream import Stream

CHUNK_BYTES = 1 << 16
_BATCH_BYTES = 1 << 18


class Sync:
    """Requests of one stream, one after the other; paths are below `root`."""

    def __init__(self, stream: Stream, root: Path) -> None:
        self._stream, self._root = stream, root

    def serve(self) -> None:
        """Until QUIT or the end of the stream."""
        known = {b"STAT": self._stat, b"LIST": self._list, b"SEND": self._send, b"RECV": self._recv}
        try:
            while True:
                name, size = struct.unpack("<4sI", self._stream.exactly(8))
                if name not in known:
                    break
                known[name](self._stream.exactly(size))
        except (EOFError, BrokenPipeError):
            return
        self._stream.close()

    def _path(self, raw: bytes) -> Path:
        return self._root / os.fsdecode(raw).lstrip("/")

    def _stat(self, raw: bytes) -> None:
        try:
            seen = self._path(raw).lstat()
            values = (seen.st_mode, seen.st_size & 0xFFFFFFFF, int(seen.st_mtime))
        except OSError:
            values = (0, 0, 0)
        self._stream.write(struct.pack("<4s3I", b"STAT", *values))

    def _list(self, raw: bytes) -> None:
        answer = bytearray()
        try:
            for child in sorted(self._path(raw).iterdir()):
                seen, name = child.lstat(), os.fsencode(child.name)
                numbers = (seen.st_mode, seen.st_size & 0xFFFFFFFF, int(seen.st_mtime), len(name))
                answer += struct.pack("<4s4I", b"DENT", *numbers) + name
        except OSError:
            pass  # a folder that cannot be read is an empty one, as on a phone
        self._stream.write(bytes(answer) + struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))

    def _send(self, raw: bytes) -> None:
        name, _, mode = raw.rpartition(b",")
        path, problem = self._path(name), None
        chunks = self._chunks()
        try:
            if stat.S_ISLNK(int(mode)):
                _link(path, b"".join(chunks))
            else:
                _write(path, chunks, int(mode))
        except OSError as error:
            problem = f"{error.strerror}".encode()
            for _ in chunks:
                pass
        if problem is None:
            self._stream.write(struct.pack("<4sI", b"OKAY", 0))
        else:
            self._stream.write(struct.pack("<4sI", b"FAIL", len(problem)) + problem)

    def _chunks(self) -> Iterator[bytes]:
        while True:
            name, size = struct.unpack("<4sI", self._stream.exactly(8))
            if name == b"DONE":
                return
            yield self._stream.exactly(size)

    def _recv(self, raw: bytes) -> None:
        batch = bytearray()
        try:
            with open(self._path(raw), "rb", buffering=0) as file:
                while data := file.read(CHUNK_BYTES):
                    batch += struct.pack("<4sI", b"DATA", len(data)) + data
                    if len(batch) >= _BATCH_BYTES:
                        self._stream.write(bytes(batch))
                        batch.clear()
        except BrokenPipeError:
            raise
        except OSError as error:
            text = f"{error.strerror}".encode()
            self._stream.write(bytes(batch) + struct.pack("<4sI", b"FAIL", len(text)) + text)
            return
        self._stream.write(bytes(batch) + struct.pack("<4sI", b"DONE", 0))


def _write(path: Path, chunks: Iterator[bytes], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(path, "wb", buffering=0) as file:
        for data in chunks:
            file.write(data)
    path.chmod(mode & 0o777)


def _link(path: Path, target: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(os.fsdecode(target.rstrip(b"\0")))
