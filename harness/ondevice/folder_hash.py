"""The hash of a folder, as computed by a device's own tools: sha256sum, or else cksum."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..errors import StepFailed

CHUNK_BYTES: Final = 1 << 20
_MIRRORED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def sizes(local: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(path.stat().st_size for path, _ in _files(local))


def local_listing(local: Path, tool: str) -> str:
    """What `find . -type f | sort | xargs TOOL | TOOL` prints first in a folder with only `local`.

    Raises StepFailed for a folder without a file.
    """
    line: Callable[[Path, str], str] = _sha256_line if tool == "sha256" else _cksum_line
    text = "".join(line(path, name) for path, name in _files(local)).encode()
    if not text:
        raise StepFailed(f"{local} has no files")
    return hashlib.sha256(text).hexdigest() if tool == "sha256" else str(cksum(iter([text])))


def cksum(pieces: Iterator[bytes]) -> int:
    """The CRC of POSIX cksum: zlib's with each byte mirrored, over the data and its length."""
    crc, length = 0xFFFFFFFF, 0
    for piece in pieces:
        crc = zlib.crc32(piece.translate(_MIRRORED), crc)
        length += len(piece)
    tail = length.to_bytes((length.bit_length() + 7) // 8, "little")
    crc = zlib.crc32(tail.translate(_MIRRORED), crc)
    return int(f"{crc:032b}"[::-1], 2)


def _files(local: Path) -> list[tuple[Path, str]]:
    """Each file with its name in the listing, in the order of its bytes."""
    paths = [local] if local.is_file() else [p for p in local.rglob("*") if not p.is_symlink()]
    named = [(path, f"./{path.relative_to(local.parent).as_posix()}") for path in paths]
    return sorted((pair for pair in named if pair[0].is_file()), key=lambda pair: pair[1].encode())


def _sha256_line(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n"


def _cksum_line(path: Path, name: str) -> str:
    with path.open("rb") as file:
        crc = cksum(iter(lambda: file.read(CHUNK_BYTES), b""))
    return f"{crc} {path.stat().st_size} {name}\n"
