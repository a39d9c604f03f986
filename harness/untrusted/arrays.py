"""Reads the arrays of an `.npz` file as numpy writes it; checks sizes against the actual bytes.

Nothing in a file is evaluated or unpickled, and no more memory is allocated than it can fill.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import StepFailed
from .files import inside

#: maximum size of a file
LARGEST_BYTES: Final = 2 << 30
MOST_MEMBERS: Final = 64
#: best compression ratio of deflate, and the usual one for a runner's arrays
DEFLATE: Final = 1032
USUAL_DEFLATE: Final = 32
#: bytes of a file that may have any ratio
SMALL_BYTES: Final = 64 << 20
_DAMAGE: Final = (
    *(OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, OverflowError),
    *(MemoryError, zipfile.BadZipFile, zlib.error, struct.error),
)
_MAGIC: Final = b"\x93NUMPY\x01\x00"
_HEADER: Final = re.compile(
    rb"\{'descr': '[<|](b1|[iu][1248]|f[248])', 'fortran_order': (False|True), "
    rb"'shape': \(((?:[0-9]{1,15}, ?)*(?:[0-9]{1,15})?)\), \} *\n"
)
#: maximum dimensions of an array
SIDES: Final = 8


@dataclass(frozen=True)
class Column:
    """What an array must be: numpy's kinds, and its sides, None for any length."""

    kinds: str
    #: None: any shape but a single value
    shape: tuple[int | None, ...] | None = (None,)
    required: bool = True
    #: whether values may be NaN
    nan: bool = False

    def wrong(self, array: NDArray[Any]) -> str:
        """Why an array does not fit; empty if it does."""
        if array.dtype.kind not in self.kinds:
            return f"has values of type {array.dtype}"
        wanted = (None,) * max(1, array.ndim) if self.shape is None else self.shape
        pairs = zip(wanted, array.shape, strict=False)
        if len(wanted) != array.ndim or any(side not in (None, seen) for side, seen in pairs):
            return f"has shape {array.shape}"
        if array.dtype.kind == "f" and not self.nan and np.isnan(array).any():
            return "has NaN"
        return ""


def read_arrays(
    path: Path, columns: Mapping[str, Column], root: Path | None = None, *, others: bool = False
) -> dict[str, NDArray[Any]]:
    """The arrays of a file (see `files.inside`) by name, each checked against its column.

    `others`: additional arrays are skipped instead of rejected. Raises StepFailed.
    """
    with inside(path, root) as opened, _told(path), open(opened, "rb", closefd=False) as file:
        _check_end(file)
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            _check_members(members.values(), len(archive.infolist()))
            _check_names(members, columns, others)
            arrays = {name: _array(archive, members[name]) for name in columns if name in members}
        for name, array in arrays.items():
            if wrong := columns[name].wrong(array):
                raise ValueError(f"{name} {wrong}")
    return arrays


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except StepFailed:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StepFailed(f"{path}: unreadable: {reason}") from None


def _check_end(file: BinaryIO) -> None:
    """Checked before a directory with too many entries is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 42))
    end = file.read()[-42:].rjust(42, b"\0")
    count, directory = struct.unpack("<HI", end[30:36])
    if end[20:24] != b"PK\5\6" or end[:4] == b"PK\6\7":
        raise ValueError("not an archive of arrays, or truncated")
    if size > LARGEST_BYTES or count > MOST_MEMBERS or directory > 1 << 16:
        raise ValueError(f"{count:,} arrays in {size:,} bytes exceed the limit")
    file.seek(0)


def _check_members(members: Collection[zipfile.ZipInfo], entries: int) -> None:
    if len(members) != entries:
        raise ValueError("duplicate array")
    claimed = spare = 0
    for info in members:
        claimed += info.file_size
        stored = info.compress_type == zipfile.ZIP_STORED
        if not stored and info.compress_type != zipfile.ZIP_DEFLATED:
            raise ValueError(f"unsupported compression {info.compress_type}")
        if info.file_size > info.compress_size * (1 if stored else DEFLATE):
            raise ValueError(
                f"{info.compress_size:,} bytes cannot expand to the claimed {info.file_size:,}"
            )
        spare += max(0, info.file_size - info.compress_size * USUAL_DEFLATE)
    if claimed > LARGEST_BYTES:
        raise ValueError(f"its arrays would take {claimed:,} bytes")
    if spare > SMALL_BYTES:
        raise ValueError(f"its arrays would take {claimed:,} bytes, which are nearly all the same")


def _check_names(found: Collection[str], columns: Mapping[str, Column], others: bool) -> None:
    lacking = [name for name, one in columns.items() if one.required and name not in found]
    if lacking:
        raise ValueError(f"missing arrays: {', '.join(lacking)}")
    more = sorted(set(found) - set(columns))
    if more and not others:
        raise ValueError(f"unexpected array {ascii(more[0])[1:-1][:80]}")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as member:
        magic, length = member.read(len(_MAGIC)), member.read(2)
        head = member.read(int.from_bytes(length, "little"))
        said = _HEADER.fullmatch(head)
        if magic != _MAGIC or said is None:
            raise ValueError(f"{info.filename[:80]} is not an array of plain numbers")
        code, fortran, sides = (part.decode() for part in said.groups())
        shape = tuple(int(side) for side in sides.split(",") if side.strip())
        dtype = np.dtype(code.replace("b1", "u1")).newbyteorder("<")
        there = info.file_size - len(_MAGIC) - 2 - len(head)
        if len(shape) > SIDES or math.prod(shape) * dtype.itemsize != there or vast(shape):
            raise ValueError(f"{info.filename[:80]} claims shape {shape} but has {there:,} bytes")
        values = np.empty(math.prod(shape), dtype)
        _fill(member, values)
    array = values.reshape(shape, order="F" if fortran == "True" else "C")
    return array != 0 if code == "b1" else array


def vast(shape: tuple[int, ...]) -> bool:
    """An empty array may also claim a side that is too long to count."""
    return math.prod(max(1, side) for side in shape) > LARGEST_BYTES


def _fill(member: Any, values: NDArray[Any]) -> None:
    """Raises EOFError for a member that ends before its array does."""
    left = values.view(np.uint8).data
    while left:
        data = member.read(min(len(left), 1 << 20))
        if not data:
            raise EOFError("truncated array")
        left[: len(data)] = data
        left = left[len(data) :]
