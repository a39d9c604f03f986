"""Small files that an address names: it may name anything, also what never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

#: known_hosts of a large farm
MOST_BYTES: Final = 16 << 20


def read(path: Path) -> bytes:
    """The content of a regular file; of `/dev/null`, nothing.

    Raises OSError, also for a pipe or a device, and for a file that is too large.
    """
    if path == Path(os.devnull):
        return b""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MOST_BYTES >> 20} MB", str(path))
    return data
