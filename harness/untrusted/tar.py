"""Unpacks a tar stream into a folder, member by member, creating each file itself.

Supports GNU and POSIX archives, as tar, busybox, toybox and bsdtar write them. Does not use
`tarfile`: its filters are missing in Python 3.11.2 and can be bypassed up to 3.11.12, and it keeps
headers of any size in memory.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from .budget import DEEPEST, Allowance
from .files import CHUNK_BYTES, created, handle, write
from .names import SETUID, NotTaken, not_regular, shown

BLOCK: Final = 512
#: maximum length of a long name, or of a POSIX header of a member, bytes
LONGEST_HEADER: Final = 1 << 16
#: maximum length of a name, bytes
LONGEST_NAME: Final = 255
#: padding after the archive's end; tar fills a record of 10 KB
LONGEST_END: Final = 1 << 20
_TYPES: Final = {
    b"1": "a hard link to another file",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_FOLDER: Final = b"5"
_FILES: Final = (b"0", b"\0", b"7")
#: `LENGTH keyword=value\n`
_RECORD: Final = re.compile(rb"([0-9]{1,6}) (path|size|linkpath|[^=\n]{1,200})=")


@dataclass(frozen=True)
class Member:
    """One entry of an archive."""

    name: str
    kind: bytes
    mode: int
    size: int


class Broken(NotTaken):
    """The stream is not a complete archive."""


class Stream:
    """Exact reads from a stream of pieces; `more` returns b"" at the end."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more, self._rest = more, b""

    def some(self, most: int) -> bytes:
        """At least one byte, at most `most`. Raises Broken at the end."""
        data = self._rest or self._more()
        if not data:
            raise Broken("truncated")
        self._rest = data[most:]
        return data[:most]

    def exactly(self, size: int) -> bytes:
        """Exactly so many bytes, for small sizes. Raises Broken."""
        data = bytearray()
        while len(data) < size:
            data += self.some(size - len(data))
        return bytes(data)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Exactly so many bytes, in pieces. Raises Broken."""
        while size:
            data = self.some(min(size, CHUNK_BYTES))
            size -= len(data)
            yield data

    def finish(self, most: int) -> None:
        """Read to the end, which must be near. Raises Broken."""
        left = most - len(self._rest)
        while left >= 0 and (data := self._more()):
            left -= len(data)
        if left < 0:
            raise Broken(f"more than {most:,} bytes follow the archive's end")


def unpack(more: Callable[[], bytes], folder: int, allowance: Allowance) -> None:
    """Unpack every member into the empty folder of the handle `folder`.

    Raises StepFailed for an invalid archive, and for the first member that is neither a regular
    file nor a folder, leads outside, is a duplicate or exceeds the budget; OSError on disk errors.
    """
    stream = Stream(more)
    while (member := _next(stream)) is not None:
        parts = _parts(member.name)
        allowance.entry(shown(member.name), len(parts) - 1)
        if member.kind == _FOLDER:
            with _folder(folder, parts, member.name):
                continue
        if member.kind not in _FILES or not parts:
            raise not_regular(member.name, _TYPES.get(member.kind, "of an unknown type"))
        if member.mode & (stat.S_ISUID | stat.S_ISGID):
            raise not_regular(member.name, SETUID)
        allowance.spend(shown(member.name), member.size)
        _write(stream, member, folder, parts)
    stream.finish(LONGEST_END)


def _write(stream: Stream, member: Member, folder: int, parts: tuple[str, ...]) -> None:
    with _folder(folder, parts[:-1], member.name) as below:
        try:
            with created(parts[-1], member.mode, below) as file:
                for data in stream.pieces(member.size):
                    write(file, data)
        except FileExistsError:
            raise NotTaken(f"{shown(member.name)}: duplicate entry") from None
    stream.exactly(-member.size % BLOCK)


@contextmanager
def _folder(root: int, parts: tuple[str, ...], name: str) -> Iterator[int]:
    """The folder of these parts below `root`, created if missing."""
    with ExitStack() as stack:
        opened = root
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=opened)
            try:
                opened = stack.enter_context(handle(part, opened))
            except NotADirectoryError:
                raise NotTaken(f"{shown(name)}: duplicate entry") from None
        yield opened


def _parts(name: str) -> tuple[str, ...]:
    """Raises StepFailed for a name that leads out of the folder."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise NotTaken(f"{shown(name)}: leads out of the folder")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise NotTaken(f"{shown(name)}: name too long")
    if len(parts) > DEEPEST:
        raise NotTaken(f"{shown(name)}: more than {DEEPEST} folders deep")
    return parts


def _next(stream: Stream) -> Member | None:
    """The next member with its complete name; None at the archive's end."""
    name, size = "", None
    while True:
        block = stream.exactly(BLOCK)
        if not block.strip(b"\0"):
            return None
        member = _parsed(block)
        if member.kind in (b"L", b"K", b"x", b"g"):
            text = _extension(stream, member)
            if member.kind == b"L":
                name = os.fsdecode(text.rstrip(b"\0"))
            if member.kind == b"x":
                known = _records(text)
                name = os.fsdecode(known.get(b"path", b"")) or name
                size = _whole(known[b"size"]) if b"size" in known else size
            continue
        whole = member.size if size is None else size
        return Member(name or member.name, _kind(name or member.name, member), member.mode, whole)


def _kind(name: str, member: Member) -> bytes:
    """Old archives store folders as files whose name ends in a slash."""
    return _FOLDER if member.kind in _FILES and name.endswith("/") else member.kind


def _extension(stream: Stream, member: Member) -> bytes:
    if member.size > LONGEST_HEADER:
        raise Broken(f"header of {member.size:,} bytes")
    text = stream.exactly(member.size)
    stream.exactly(-member.size % BLOCK)
    return text


def _records(text: bytes) -> dict[bytes, bytes]:
    """The values of a POSIX header for the next member."""
    found: dict[bytes, bytes] = {}
    while text:
        head = _RECORD.match(text)
        length = int(head[1]) if head else 0
        if head is None or not head.end() < length <= len(text) or text[length - 1] != 0x0A:
            raise Broken("invalid header")
        found[head[2]] = text[head.end() : length - 1]
        text = text[length:]
    return found


def _parsed(block: bytes) -> Member:
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 0x20:
        raise Broken("wrong checksum in a header")
    name = _text(block[:100])
    if block[257:262] == b"ustar" and block[257:265] != b"ustar  \0" and block[345]:
        name = _text(block[345:500]) + b"/" + name
    size = _number(block[124:136])
    kind = block[156:157]
    if kind == _FOLDER or kind in _TYPES:
        size = 0
    return Member(os.fsdecode(name), kind, _number(block[100:108]) & 0o7777, size)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Octal digits, or an integer in base 256 after a byte of 0x80. Raises Broken."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise Broken("invalid header")
    return int(digits or b"0", 8)


def _whole(value: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,19}", value):
        raise Broken("invalid header")
    return int(value)
