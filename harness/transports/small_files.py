"""Reads small files that an address names: it may name anything, including endless ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from .. import regular

#: known_hosts of a large farm
MOST_BYTES: Final = 16 << 20


def read(path: Path) -> bytes:
    """The content of a regular file; empty for `/dev/null`.

    Raises OSError, also for a pipe or a device, and for a file that is too large.
    """
    if path == Path(os.devnull):
        return b""
    with regular.opened(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MOST_BYTES >> 20} MB", str(path))
    return data
