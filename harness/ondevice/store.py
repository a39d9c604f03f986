"""The content-addressed store on a device: `<workdir>/store/<key>/`, complete and verified.

Old entries make room for new ones under the device's quota. What was asked for or put through a
connection stays until that connection is closed. The caller holds the device's lease: two of us
at once would take each other's unfinished entries for leftovers.
"""

from __future__ import annotations

import itertools
import re
import secrets
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from weakref import WeakKeyDictionary

from ..errors import StepFailed
from ..printable import last_line, one_line
from ..transports import Transport
from . import store_scripts as scripts
from .folder_hash import local_listing, sizes

OnLine = Callable[[str], None]
#: file systems round up and have their own books: what must be left beside an entry
SPARE_BYTES: Final = 8 << 20
#: what a device may take to hash and unpack, beside the seconds below
BYTES_PER_S: Final = 1 << 20
PATIENCE_S: Final = 120.0

_PROCESS: Final = secrets.token_hex(4)
_NUMBERS = itertools.count()
_IN_USE: WeakKeyDictionary[Transport, set[str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Stored:
    """An entry on the device; `fresh`: it is new."""

    path: PurePosixPath
    fresh: bool


@dataclass(frozen=True)
class _New:
    """A new entry; sizes in bytes, `peak` while it is being created."""

    local: Path
    key: str
    name: str
    is_archive: bool
    size: int
    peak: int


def there(transport: Transport, workdir: PurePosixPath, keys: Collection[str]) -> frozenset[str]:
    """Which of the entries exist, in one round trip; marks them as used."""
    _IN_USE.setdefault(transport, set()).update(keys)
    said = _ask(transport, scripts.ASK, _store(workdir), *keys)
    return frozenset(said.split())


def place_of(workdir: PurePosixPath, local: Path, key: str) -> PurePosixPath:
    """The path that `put` uses; sends nothing."""
    return _store(workdir) / key / local.name


def put(
    transport: Transport,
    workdir: PurePosixPath,
    local: Path,
    key: str,
    quota_bytes: int,
    on_line: OnLine | None = None,
) -> PurePosixPath:
    """Copy the file or folder `local` to the device under its own name, unless it exists.

    Raises StepFailed (not enough space, or damaged in transfer), DeviceLost.
    """
    path = place_of(workdir, local, key)
    if key not in there(transport, workdir, (key,)):
        size = sizes(local)
        _place(
            transport,
            workdir,
            _New(local, key, local.name, False, size, size),
            quota_bytes,
            on_line,
        )
    return path


def put_archive(
    transport: Transport,
    workdir: PurePosixPath,
    archive: Path,
    key: str,
    unpacked_bytes: int,
    quota_bytes: int,
    on_line: OnLine | None = None,
) -> Stored:
    """Unpack a .tar.gz on the device; raises like `put`, and without tar on the device."""
    path = _store(workdir) / key / "tree"
    if key in there(transport, workdir, (key,)):
        return Stored(path, False)
    peak = archive.stat().st_size + unpacked_bytes
    _place(
        transport,
        workdir,
        _New(archive, key, "tree", True, unpacked_bytes, peak),
        quota_bytes,
        on_line,
    )
    return Stored(path, True)


def remove(transport: Transport, workdir: PurePosixPath, keys: Collection[str]) -> None:
    """Delete entries; missing ones are ignored."""
    if keys:
        _ask(transport, scripts.REMOVE, _store(workdir), *keys)
        _IN_USE.setdefault(transport, set()).difference_update(keys)


def _store(workdir: PurePosixPath) -> PurePosixPath:
    return workdir / "store"


def _place(
    transport: Transport,
    workdir: PurePosixPath,
    new: _New,
    quota_bytes: int,
    on_line: OnLine | None,
) -> None:
    store = _store(workdir)
    part = store / f".part-{_PROCESS}-{next(_NUMBERS)}"
    free = _make_room(transport, store, new, quota_bytes)
    say = on_line or (lambda line: None)
    say(f"sending {new.local.name} to {transport.name}: {sizes(new.local) / 1e6:.1f} MB")
    try:
        transport.push(new.local, part / new.local.name)
        _verify(transport, part, new, say)
        if new.is_archive:
            _ask(transport, scripts.UNPACK, part, new.local.name, timeout_s=_patience_s(new.peak))
        kb = str(-(-new.size // 1024))
        _ask(transport, scripts.FINISH, store, part, new.key, kb, timeout_s=_patience_s(new.peak))
    except StepFailed as error:
        _ask(transport, scripts.DROP, part)
        if "no space left" in error.message.lower():
            raise _no_room(transport, store, new, free) from error
        raise


def _make_room(
    transport: Transport, store: PurePosixPath, new: _New, quota_bytes: int
) -> int | None:
    """Evict the least recently used entries until quota and disk suffice; the bytes free then."""
    said = _ask(transport, scripts.LIST, store, _PROCESS)
    entries = sorted(_entries(said))
    free = _free(said)
    used = sum(size for _, size, _ in entries)
    needed = new.peak + SPARE_BYTES
    old = [entry for entry in entries if entry[2] not in _IN_USE.get(transport, ())]
    gone = []
    while old and (used + new.size > quota_bytes or (free is not None and free < needed)):
        _, size, key = old.pop(0)
        gone.append(key)
        used, free = used - size, None if free is None else free + size
    if used + new.size > quota_bytes:
        raise StepFailed(
            f"{transport.name}: not enough space for {new.local.name}: {_mb(new.size)} required, "
            f"{_mb(used)} of the quota of {_mb(quota_bytes)} used by this run",
            "Increase storage_mb in the device file, or run fewer formats at once.",
        )
    if free is not None and free < needed:
        raise _no_room(transport, store, new, free)
    remove(transport, store.parent, gone)
    return free


def _no_room(transport: Transport, store: PurePosixPath, new: _New, free: int | None) -> StepFailed:
    there = "an unknown amount" if free is None else _mb(free)
    return StepFailed(
        f"{transport.name}: not enough space for {new.local.name}: "
        f"{_mb(new.peak + SPARE_BYTES)} required, {there} free in {store} after eviction",
        "Free some space on the device.",
    )


def _entries(said: str) -> list[tuple[int, int, str]]:
    """Last use (a counter), bytes, key."""
    found = re.findall(r"^entry ([0-9]{1,18}) ([0-9]{1,15}) (\S+)$", said, re.M)
    return [(int(used), int(kb) * 1024, key) for used, kb, key in found]


def _free(said: str) -> int | None:
    """Bytes; None if df cannot tell, as in a root without /proc/mounts."""
    found = re.search(r"^df .{0,4096}?\s[0-9]+\s+[0-9]+\s+([0-9]{1,15})\s+[0-9]+%", said, re.M)
    return int(found[1]) * 1024 if found else None


def _verify(transport: Transport, part: PurePosixPath, new: _New, say: OnLine) -> None:
    said = _ask(transport, scripts.DIGEST, part, timeout_s=_patience_s(new.peak)).split()
    if len(said) < 2 or said[0] not in ("sha256", "cksum"):
        told = one_line(" ".join(said[:9])) or "no answer"
        raise StepFailed(f"{transport.name}: cannot verify {new.local.name}: {told}")
    tool, seen = said[0], said[1]
    if tool == "cksum":
        say(
            f"{transport.name} has no sha256sum: verifying {new.local.name} with cksum (CRC-32) "
            "only"
        )
    if seen != local_listing(new.local, tool):
        raise StepFailed(
            f"{transport.name}: {new.local.name} was damaged in transfer ({tool} mismatch)",
            "Try again; if it fails again, check the connection and the storage.",
        )


def _patience_s(size: int) -> float:
    return PATIENCE_S + size / BYTES_PER_S


def _ask(
    transport: Transport,
    script: str,
    *arguments: str | PurePosixPath,
    timeout_s: float = PATIENCE_S,
) -> str:
    argv: Sequence[str] = ("sh", "-c", script, "sh", *map(str, arguments))
    done = transport.run(argv, timeout_s=timeout_s)
    if done.exit_code:
        said = last_line(done.stderr or done.stdout) or "failed without output"
        raise StepFailed(
            f"{transport.name}: {said}",
            f"Check {shlex.quote(str(arguments[0]))} on the device.",
        )
    return done.text


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
