"""Opens files relative to a handle of their folder; follows no links; copies are new files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath
from typing import Final

from .budget import DEEPEST, Allowance
from .names import SETUID, NotTaken, kind, not_regular, shown

CHUNK_BYTES: Final = 1 << 20
#: does not wait for a writer of a pipe
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def handle(path: Path | str, below: int | None = None) -> Iterator[int]:
    """An open folder; it stays the same one if its path is replaced. Raises OSError.

    With `below`, the handle of another folder, a link is not followed; else `path` is trusted.
    """
    opened = os.open(path, _FOLDER if below is None else _FOLDER | os.O_NOFOLLOW, dir_fd=below)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def regular(name: str, below: int, path: Path | None = None) -> Iterator[int]:
    """A regular file of the folder `below`, open for reading. Raises StepFailed for anything else.

    `path` is given for files where no job writes: they may have hard links and any mode.
    """
    said, ours = str(path or name), path is not None
    with _refused(said):
        _check(said, os.stat(name, dir_fd=below, follow_symlinks=False), ours)
        opened = os.open(name, _FILE, dir_fd=below)
    try:
        _check(said, os.fstat(opened), ours)  # it may have been replaced
        yield opened
    finally:
        os.close(opened)


@contextmanager
def inside(path: Path, root: Path | None = None) -> Iterator[int]:
    """A regular file that no link below `root` (default: its folder) leads to, open for reading.

    Raises StepFailed, also for a path that leaves `root`.
    """
    root = root or path.parent
    parts = _parts(root, path)
    with ExitStack() as stack:
        with _refused(str(path)):
            folder = stack.enter_context(handle(root))
            for part in parts[:-1]:
                folder = stack.enter_context(handle(part, folder))
        yield stack.enter_context(regular(parts[-1], folder, path))


def is_inside(path: Path, root: Path) -> bool:
    """Whether `inside` would open it."""
    try:
        with inside(path, root):
            return True
    except NotTaken:
        return False


def read(path: Path, most: int, root: Path | None = None) -> bytes:
    """All of a file, see `inside`. Raises StepFailed also for one of more than `most` bytes."""
    with inside(path, root) as file:
        if os.fstat(file).st_size > most:
            raise NotTaken(f"{path}: exceeds the limit of {most:,} bytes")
        with open(file, "rb", closefd=False) as stream:
            return stream.read(most)


def copy(
    name: str, source: int, new: str, target: int, allowance: Allowance, depth: int = 0
) -> None:
    """Copy the regular file or folder `name` of `source` to `new` in `target`.

    Raises StepFailed, and OSError if `target` cannot be written.
    """
    allowance.entry(shown(name), depth)
    with _refused(name):
        seen = os.stat(name, dir_fd=source, follow_symlinks=False)
    if not stat.S_ISDIR(seen.st_mode):
        with regular(name, source) as file:
            size = os.fstat(file).st_size
            allowance.spend(shown(name), size)
            with created(new, seen.st_mode, target) as made:
                _pour(name, size, file, made, allowance)
        return
    allowance.folder(name)
    with ExitStack() as stack:
        with _refused(name):
            inner = stack.enter_context(handle(name, source))
            found = stack.enter_context(os.scandir(inner))
        os.mkdir(new, 0o755, dir_fd=target)
        made = stack.enter_context(handle(new, target))
        for entry in found:
            copy(entry.name, inner, entry.name, made, allowance, depth + 1)


def check(path: Path, but: str = "") -> None:
    """Raises StepFailed unless it is a regular file, or a folder of such files and folders.

    Anything named `but` below it is not checked.
    """
    with _refused(str(path)), handle(path.parent) as folder:
        _check_below(path.name, folder, str(path), 0, but)


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file. Raises StepFailed, and OSError if the target cannot be written."""
    with (
        inside(source) as file,
        handle(target.parent) as folder,
        created(target.name, 0o644, folder) as made,
    ):
        while data := os.read(file, CHUNK_BYTES):
            write(made, data)


def put(root: Path, name: str, data: bytes) -> None:
    """Write a file below `root`, not through links; creates folders, and replaces a file.

    Raises StepFailed if a folder of its path is not a folder, OSError.
    """
    *folders, last = _parts(root, root / name)
    with ExitStack() as stack:
        below = stack.enter_context(handle(root))
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=below)
            with _refused(str(root / name)):
                below = stack.enter_context(handle(folder, below))
        part = f".{last[:200]}.part"
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=below)
        with open(os.open(part, _NEW, 0o666, dir_fd=below), "wb") as file:
            file.write(data)
        os.replace(part, last, src_dir_fd=below, dst_dir_fd=below)


@contextmanager
def created(name: str, mode: int, below: int) -> Iterator[int]:
    """A new file, open for writing, with safe permissions. Raises OSError."""
    opened = os.open(name, _NEW, 0o600, dir_fd=below)
    try:
        yield opened
        os.fchmod(opened, mode & 0o755 | 0o600)
    finally:
        os.close(opened)


def write(file: int, data: bytes) -> None:
    """Write all of `data`. Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _pour(name: str, size: int, source: int, target: int, allowance: Allowance) -> None:
    """Counts a file that is longer than its initial `size` against the budget, too."""
    while data := os.read(source, CHUNK_BYTES):
        allowance.spend(shown(name), max(0, len(data) - size))
        size = max(0, size - len(data))
        write(target, data)


def _check_below(name: str, folder: int, path: str, depth: int, but: str) -> None:
    seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(seen.st_mode) or depth > DEEPEST:
        _check(path, seen, ours=True)
        return
    with handle(name, folder) as inner, os.scandir(inner) as found:
        for entry in found:
            if entry.name != but:
                _check_below(entry.name, inner, f"{path}/{entry.name}", depth + 1, but)


def _check(name: str, seen: os.stat_result, ours: bool) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise not_regular(name, kind(seen.st_mode))
    if ours:
        return
    if seen.st_nlink > 1:
        raise not_regular(name, "a hard link to another file")
    if seen.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise not_regular(name, SETUID)


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Errors become StepFailed: they are in files of others, not of this machine."""
    try:
        yield
    except OSError as error:
        raise NotTaken(f"{shown(name)}: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte, a lone surrogate
        raise NotTaken(f"{shown(name)}: {error}") from None


def _parts(root: Path, path: Path) -> tuple[str, ...]:
    """The parts of `path` relative to `root`. Raises StepFailed for one that leaves it."""
    try:
        parts = PurePath(path).relative_to(root).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts:
        raise NotTaken(f"{shown(str(path))}: outside of {root}")
    return parts
