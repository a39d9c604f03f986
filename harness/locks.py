"""Lock files: one process at a time holds each, and its content names the holder.

The lock is flock's, so it ends with its process, however that ends. The content is only for people.
A lock file may be in a folder that others write to: no link is followed, and only a lock file is
opened.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import getpass
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import BenchError, RunEnds
from .printable import printable
from .serial import Malformed, dumps, loads

#: interval at which a waiting process tries again, seconds
LOOK_S: Final = 0.2
#: more than a holder writes
MOST_BYTES: Final = 4096
MOST_TEXT: Final = 300
#: how long a lock is tried without waiting: a process that only looks at it holds it briefly
MOMENT_S: Final = 0.5
#: errors of file systems without flock
NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class LockHolder:
    """The holder of a lock, as recorded in it; `since` in seconds since 1970."""

    user: str
    host: str
    pid: int
    since: float
    doing: str = ""

    @property
    def text(self) -> str:
        """`ann@desk pid 7, run r1, since 2026-11-22 10:43:00`, in this machine's time."""
        words = [f"{self.user}@{self.host} pid {self.pid}", self.doing, f"since {self._since}"]
        return " ".join(printable(", ".join(filter(None, words))).split())[:MOST_TEXT]

    @property
    def _since(self) -> str:
        try:
            return f"{datetime.datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M:%S}"
        except (OverflowError, ValueError, OSError):
            return "an unknown time"


class Locked(BenchError):
    """Another process holds a lock that is not waited for."""


class FileLock:
    """A lock that is held; others may replace `path`, and `stands` says whether they did."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def stands(self) -> bool:
        """Whether `path` is still the locked file."""
        return _is_at(self.path, self._descriptor)

    def _write(self, holder: LockHolder) -> None:
        with suppress(OSError):  # full disk: locked all the same, by an unknown holder
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, dumps(holder).encode() + b"\n", 0)

    def _release(self, remove: bool) -> None:
        with suppress(OSError):  # a full disk does not prevent the release
            if remove and self.stands():
                self.path.unlink()
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def whoami(doing: str = "") -> LockHolder:
    """This process, as shown to others."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return LockHolder(user, socket.gethostname(), os.getpid(), time.time(), doing)


@contextmanager
def held(
    path: Path,
    what: str,
    doing: str = "",
    *,
    on_wait: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    mode: int = 0o644,
    remove: bool = False,
) -> Iterator[FileLock]:
    """Hold the lock file `path` in the body; its folder exists.

    Without `on_wait`, raises Locked with the holder if another process holds it. With it, waits for
    the lock and calls `on_wait` once per holder; `stop` ends the wait with Locked. `remove`: the
    file is removed on release. Raises BenchError if it cannot be locked.
    """
    lock = _wait(path, what, on_wait, stop or threading.Event(), mode)
    try:
        lock._write(whoami(doing))
        yield lock
    finally:
        lock._release(remove)


def holder(path: Path) -> LockHolder | None:
    """The current holder of a lock file, as far as recorded; None if it is not held."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _wait(
    path: Path,
    what: str,
    on_wait: Callable[[str], None] | None,
    stop: threading.Event,
    mode: int,
) -> FileLock:
    told, until = "", time.monotonic() + MOMENT_S
    while True:
        lock, other = _try(path, mode)
        if lock:
            return lock
        said = f"{what} is in use by {other.text if other else 'another process'}"
        over = time.monotonic() > until
        if stop.is_set() or (over and on_wait is None):
            raise Locked(said, "Wait until that process has ended, or end it.")
        if on_wait and other and said != told:
            told = said
            on_wait(said)
        stop.wait(LOOK_S)


def _try(path: Path, mode: int) -> tuple[FileLock | None, LockHolder | None]:
    """The lock, or its holder."""
    while True:
        descriptor = _open(path, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            seen = _read(descriptor)
            os.close(descriptor)
            return None, seen
        except OSError as error:
            os.close(descriptor)
            raise _refused(path, error) from error
        if _is_at(path, descriptor):
            return FileLock(path, descriptor), None
        os.close(descriptor)  # its holder has removed it meanwhile


def _open(path: Path, mode: int) -> int:
    """Not only `O_CREAT`: kernels refuse that for existing files in a folder that all may write."""
    while True:
        try:
            descriptor = os.open(path, _OPEN)
        except FileNotFoundError:
            with suppress(FileExistsError):
                return _create(path, mode)
            continue
        except OSError as error:
            raise _refused(path, error) from error
        seen = os.fstat(descriptor)
        if stat.S_ISREG(seen.st_mode) and seen.st_nlink <= 1:
            return descriptor
        os.close(descriptor)
        raise _not_a_lock(path)


def _create(path: Path, mode: int) -> int:
    try:
        descriptor = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, mode)
    except FileExistsError:
        raise
    except OSError as error:
        raise _refused(path, error) from error
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.lstat()
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _read(descriptor: int) -> LockHolder | None:
    try:
        return loads(LockHolder, os.pread(descriptor, MOST_BYTES, 0), "lock")
    except (OSError, Malformed):
        return None


def _not_a_lock(path: Path) -> BenchError:
    return BenchError(f"{path}: not a lock file of bench", "Remove it.")


def _refused(path: Path, error: OSError) -> BenchError:
    if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
        return _not_a_lock(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunEnds(f"{path}: {error.strerror}", "Free some space, then continue with --resume.")
    if error.errno in NO_LOCKS:
        return BenchError(
            f"{path}: its file system has no locks (flock): {error.strerror}",
            "Use a folder on a local disk, or mount it with locks.",
        )
    return BenchError(f"{path}: cannot lock: {error.strerror}", "Give this user write permission.")
