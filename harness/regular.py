"""Reads regular files only: anything else is an OSError, and a pipe is not waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file, open for reading. Raises OSError, also for a pipe, a folder or a device."""
    with open(os.open(path, _FLAGS), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            what = os.strerror(code) if stat.S_ISDIR(mode) else "not a regular file"
            raise OSError(code, what, str(path))
        yield file


def read(path: Path) -> bytes:
    """All of a regular file. Raises OSError like `opened`."""
    with opened(path) as file:
        return file.read()
