"""Files that one process holds at a time, and that say who holds them.

The lock is flock's, so it ends with its process, however that ends. What the file says is for
people. A lock file may lie where others write: no link is followed, and nothing else is opened.
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

#: how often a waiting process looks again, seconds
LOOK_S: Final = 0.2
#: more than a holder writes
MOST_BYTES: Final = 4096
MOST_TEXT: Final = 300
#: so long one is tried for that nobody waits for: who only looks at a lock holds it for a moment
MOMENT_S: Final = 0.5
#: what file systems say that have no flock
NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock, as they wrote it down; `since` in seconds since 1970."""

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
    """Another process holds a lock, and nobody waits for it."""


class FileLock:
    """A lock that is held; `path` may be replaced by others, and `stands` says whether it was."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def stands(self) -> bool:
        """Whether who comes now finds the file that is locked, and not another one."""
        return _is_at(self.path, self._descriptor)

    def _write(self, holder: LockHolder) -> None:
        with suppress(OSError):  # a full disk: it is locked all the same, by somebody unknown
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, dumps(holder).encode() + b"\n", 0)

    def _release(self, remove: bool) -> None:
        with suppress(OSError):  # a full disk keeps nobody from letting go
            if remove and self.stands():
                self.path.unlink()
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def whoami(doing: str = "") -> LockHolder:
    """This process, as others will read it."""
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
    """Hold the lock file `path` while the body runs; its folder is there.

    Without `on_wait`, raises Locked where another process holds it, with who that is. With it, the
    lock is waited for, and `on_wait` is told of each holder once; `stop` ends the waiting with
    Locked. `remove`: the file goes with the lock. Raises BenchError where no lock can be had.
    """
    lock = _wait(path, what, on_wait, stop or threading.Event(), mode)
    try:
        lock._write(whoami(doing))
        yield lock
    finally:
        lock._release(remove)


def holder(path: Path) -> LockHolder | None:
    """Who holds a lock file at this moment, as far as it says; None when nobody does."""
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
    """The lock, or who holds it."""
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
    """Not `O_CREAT` alone: kernels refuse that for what lies in a folder that all may write."""
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
    return BenchError(f"{path}: is no lock file of bench's", "Remove it.")


def _refused(path: Path, error: OSError) -> BenchError:
    if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
        return _not_a_lock(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunEnds(f"{path}: {error.strerror}", "Free some space, then go on with --resume.")
    if error.errno in NO_LOCKS:
        return BenchError(
            f"{path}: its file system has no locks (flock): {error.strerror}",
            "Use a folder on a local disk, or mount it with locks.",
        )
    return BenchError(f"{path}: no lock: {error.strerror}", "Give this user permission to write.")
