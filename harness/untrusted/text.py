"""Reads JSON records and logs of others: bounded, and malformed in one way only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from ..errors import StepFailed
from ..serial import Malformed, from_json, loads, parse
from .files import inside, read

Record = TypeVar("Record")

#: maximum size of a record
RECORD_BYTES: Final = 4 << 20
#: maximum size of a file with a record per line
LINES_BYTES: Final = 256 << 20


def read_record(kind: type[Record], path: Path, root: Path | None = None) -> Record:
    """The record in a file, see `files.inside`. Raises StepFailed with one line."""
    data = read(path, RECORD_BYTES, root)
    try:
        return loads(kind, data, path.name)
    except Malformed as error:
        raise StepFailed(str(error)) from None


def read_records(kind: type[Record], path: Path, root: Path | None = None) -> list[Record]:
    """A list of records in a file. Raises StepFailed with one line."""
    data = read(path, RECORD_BYTES, root)
    try:
        found = parse(data, path.name)
        if not isinstance(found, list):
            raise Malformed(f"{path.name}: expected a list")
        return [from_json(kind, one, f"{path.name}[{at}]") for at, one in enumerate(found)]
    except Malformed as error:
        raise StepFailed(str(error)) from None


def read_objects(path: Path, root: Path | None = None) -> Iterator[dict[str, Any]]:
    """The JSON object of each line; other lines are skipped. Raises StepFailed."""
    for line in read(path, LINES_BYTES, root).splitlines():
        try:
            found = parse(line, path.name)
        except Malformed:
            continue
        if isinstance(found, dict):
            yield found


def read_end(path: Path, most: int, root: Path | None = None) -> tuple[bytes, int]:
    """The last bytes of a file, and its size. Raises StepFailed."""
    with inside(path, root) as file:
        size = os.fstat(file).st_size
        os.lseek(file, max(0, size - most), os.SEEK_SET)
        with open(file, "rb", closefd=False) as stream:
            return stream.read(most), size
