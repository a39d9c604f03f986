"""Content-addressed folders: created once under the hash of all inputs, then read-only."""

from __future__ import annotations

import errno
import functools
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from . import locks, regular
from .durable import sync_folder, sync_tree
from .errors import BenchError, RunEnds
from .serial import dumps

#: in the cache: one lock file per entry that is being created
LOCKS: Final = "locks"
_told: list[Callable[[str], None]] = []


def digest(*parts: object) -> str:
    """sha256 hex over records, strings and numbers; order and boundaries matter."""
    return hashlib.sha256(dumps(list(parts), sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 hex of a file's bytes. Raises OSError, also for a pipe or a device."""
    with regular.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """`file_sha256`, read once per process unless the file changes: many steps ask for it."""
    seen = path.stat()
    return _known_sha256(path, seen.st_size, seen.st_mtime_ns, seen.st_ino)


@functools.lru_cache(maxsize=100_000)
def _known_sha256(path: Path, size: int, changed_ns: int, inode: int) -> str:
    return file_sha256(path)


def tree_sha256(path: Path) -> str:
    """sha256 hex of a file, or of a folder's relative names and contents. Raises OSError."""
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return digest(*((str(p.relative_to(path)), file_sha256(p)) for p in files))


def tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(
        p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file()
    )


def get_or_create(
    root: Path, kind: str, key: str, make: Callable[[Path], None]
) -> tuple[Path, bool]:
    """The folder `root/kind/key`, and whether it was there; `make` fills a new one.

    One process creates it, and the others wait. The entry appears complete or not at all, also
    after a power cut; what a failing `make` wrote stays in `root/failed/kind-key` for diagnosis.
    Raises BenchError if the disk is full or read-only.
    """
    target = root / kind / key
    if target.is_dir():
        return target, True
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        (root / LOCKS).mkdir(exist_ok=True)
    except OSError as error:
        raise unusable(target.parent, error) from error
    lock = root / LOCKS / f"{kind}-{key[:40]}"
    with locks.held(lock, f"cache entry {kind}/{key[:12]}", on_wait=_tell_waiting, remove=True):
        if target.is_dir():
            return target, True
        _make(target, root / "failed" / f"{kind}-{key[:16]}", make)
    return target, False


def _make(target: Path, failed: Path, make: Callable[[Path], None]) -> None:
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{target.name[:12]}-", dir=target.parent))
        part.chmod(0o755)
    except OSError as error:
        raise unusable(target.parent, error) from error
    try:
        make(part)
        sync_tree(part)
        part.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        if not target.is_dir():  # else a process with the same folder but other locks was faster
            raise unusable(target, error) from error
    except BenchError as error:
        error.hint = error.hint.replace(str(part), str(failed))
        raise
    finally:
        if part.is_dir():
            _keep_failed(part, failed)


@contextmanager
def waiting(tell: Callable[[str], None]) -> Iterator[None]:
    """In the body, `tell` is called when an entry is waited for that another process creates."""
    _told.append(tell)
    try:
        yield
    finally:
        _told.remove(tell)


def _tell_waiting(text: str) -> None:
    for tell in tuple(_told):
        tell(f"waiting: {text}")


def _keep_failed(part: Path, where: Path) -> None:
    shutil.rmtree(where, ignore_errors=True)
    where.parent.mkdir(parents=True, exist_ok=True)
    part.replace(where)


def unusable(path: Path, error: OSError) -> BenchError:
    """The error for a folder that is not writable; a full disk ends the run."""
    kind = RunEnds if error.errno in (errno.ENOSPC, errno.EDQUOT) else BenchError
    return kind(
        f"{path}: {error.strerror or error}",
        "Free some space, or point BENCH_CACHE at a writable folder with enough space.",
    )
