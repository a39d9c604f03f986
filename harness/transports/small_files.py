"""Reads small files that an address names: it may name anything, including endless ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from .. import regular

#: known_hosts of a large farm
MOST_BYTES: Final = 4 << 20


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file; empty for `/dev/null`.

    Raises OSError, also for a pipe or a device, and for a file of more than `most` bytes.
    """
    if path == Path(os.devnull):
        return b""
    with regular.opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most >> 10:,} KB", str(path))
    return data
