"""The dependencies of a program or library: the dynamic section of 64-bit little-endian ELF."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import StepFailed

MACHINES: Final = {183: "aarch64", 62: "x86_64"}
LOAD, DYNAMIC = 1, 2
NEEDED, STRINGS = 1, 5
#: maximum length of a needed library's name, bytes
LONGEST_NAME: Final = 4096


@dataclass(frozen=True)
class Elf:
    """`needed`: the libraries that the loader looks for."""

    arch: str
    needed: tuple[str, ...]


def read(path: Path) -> Elf | None:
    """None for a file that is not 64-bit ELF. Raises StepFailed for a damaged one."""
    with path.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return None
    data = path.read_bytes()
    try:
        (machine,) = struct.unpack_from("<H", data, 18)
        return Elf(MACHINES.get(machine, f"machine {machine}"), tuple(_needed(data)))
    except (struct.error, ValueError, OverflowError) as error:
        raise StepFailed(f"{path}: damaged program or library: {error}") from None


def _needed(data: bytes) -> Iterator[str]:
    segments = list(_segments(data))
    where = next(((at, size) for kind, at, _, size in segments if kind == DYNAMIC), (0, 0))
    section = data[where[0] :][: where[1]]
    entries = list(struct.iter_unpack("<qQ", section[: len(section) // 16 * 16]))
    strings = _file_offset(segments, next((value for tag, value in entries if tag == STRINGS), 0))
    for start in (strings + value for tag, value in entries if tag == NEEDED):
        yield data[start : data.index(b"\0", start, start + LONGEST_NAME)].decode("ascii")


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, offset in the file, address in memory, size in the file."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", data, table + index * size
        )
        yield kind, offset, address, length


def _file_offset(segments: list[tuple[int, int, int, int]], address: int) -> int:
    for kind, offset, start, size in segments:
        if kind == LOAD and start <= address < start + size:
            return offset + address - start
    return address
