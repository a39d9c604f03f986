"""Files and folders to a device, through the input of a command, and only what is not there yet."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import StepFailed
from . import Transfer, archive, manifest, scripts
from .channel import Channel, Connection
from .execute import ask, asking, finish
from .failures import lost, refused
from .manifest import FileEntry, Manifest
from .started import start

#: a smaller file is sent again sooner than it is looked for, bytes
REMEMBERED_BYTES = 1 << 18
#: how long a device may unpack after the last byte, seconds
SETTLE_S = 120.0
#: a device that accepts less is given up, even if it makes progress
SLOWEST_BYTES_PER_S = 16 << 10


def push(connection: Connection, local: Path, remote: PurePosixPath) -> Transfer:
    """See `Transport.push`."""
    began = time.monotonic()
    action = f"push {local} to {connection.name}:{remote}"
    try:
        if local.is_dir():
            files, size = _push_tree(connection, local, _shell_path(remote), action)
        else:
            (entry,) = manifest.read(local).entries
            files, size = _push_file(connection, entry, _shell_path(remote), action)
    except OSError as error:
        raise refused(action, str(error)) from error
    return Transfer(files, size, time.monotonic() - began)


def record_of(remote: PurePosixPath) -> PurePosixPath:
    """The record of what was pushed to `remote`: a hidden folder next to it."""
    return remote.with_name(f".{remote.name}.pushed")


def _shell_path(path: PurePosixPath) -> PurePosixPath:
    """No tool takes it for an option. Raises StepFailed for a path that names nothing."""
    if not path.name or "\0" in str(path):
        raise StepFailed(f"'{path}' is not a valid path on a device")
    return path if path.is_absolute() else PurePosixPath("./") / path


def _push_file(
    connection: Connection, entry: FileEntry, remote: PurePosixPath, action: str
) -> tuple[int, int]:
    remembered = entry.size >= REMEMBERED_BYTES
    content = Manifest((entry,)).content if remembered else ""
    if remembered:
        with _looking(connection, remote.parent, record_of(remote)) as there:
            if there() == content:
                return 0, 0
    arguments = (
        *(_text(remote), _text(remote.parent), _part(remote), str(entry.size)),
        *(f"{entry.mode & 0o777:o}", _text(record_of(remote)), f"./{remote.name}", content),
    )
    data = archive.read_exactly(entry.source, entry.size)
    code, said, sent = _send(connection, scripts.PUSH_FILE, arguments, data, entry.size)
    if code:
        raise refused(action, said)
    return 1, sent


def _push_tree(
    connection: Connection, local: Path, remote: PurePosixPath, action: str
) -> tuple[int, int]:
    with _looking(connection, remote, record_of(remote)) as there:
        found = manifest.read(local)  # both look at the same time
        seen = there()
    if seen == found.content:
        return 0, 0
    entries = _changed(connection, found, remote) if seen else found.entries
    marker = f".bench-{secrets.token_hex(6)}"
    size = sum(map(len, archive.pack(entries, found, marker))) if not connection.ends_input else 0
    arguments = (
        *(_text(remote), _text(remote.parent), _part(remote)),
        *(_text(record_of(remote)), marker),
    )
    packed = archive.pack(entries, found, marker)
    code, said, sent = _send(connection, scripts.PUSH_TREE, arguments, packed, size)
    if code == scripts.NO_TAR:
        return _one_by_one(connection, entries, remote, action)
    if code:
        raise refused(action, said)
    return sum(not entry.is_folder for entry in entries), sent


def _one_by_one(
    connection: Connection, entries: Iterable[FileEntry], remote: PurePosixPath, action: str
) -> tuple[int, int]:
    """Without tar on the device: no record, no empty folders, links as what they point to."""
    files = sent = 0
    for entry in entries:
        if not entry.is_folder:
            if entry.source.is_dir():
                raise StepFailed(
                    f"{action}: {entry.path}: link to a folder, and the device has no tar",
                    "Replace the link with the folder.",
                )
            real = manifest.read(entry.source.resolve()).entries[0]
            sent += _push_file(connection, real, remote / entry.path, action)[1]
            files += 1
    return files, sent


@contextmanager
def _looking(
    connection: Connection, folder: PurePosixPath, record: PurePosixPath
) -> Iterator[Callable[[], str]]:
    """The content hash of what was pushed before; "" when it is not there or was touched since."""
    with asking(connection, scripts.CHECK, _text(folder), _text(record)) as answer:

        def content() -> str:
            lines = answer()[1].decode("ascii", "replace").splitlines()
            return lines[0] if len(lines) == 3 and lines[1] == lines[2] else ""

        yield content


def _changed(
    connection: Connection, found: Manifest, remote: PurePosixPath
) -> tuple[FileEntry, ...]:
    """What a device that has an older state of the folder lacks; removes what is no more."""
    _, out, _ = ask(connection, scripts.MANIFEST, _text(record_of(remote)))
    old = manifest.parse(out)
    gone = sorted(old.keys() - {entry.path for entry in found.files})
    if gone:
        names = "".join(f"./{path}\0" for path in gone).encode("utf-8", "surrogateescape")
        _send(connection, scripts.REMOVE, (_text(remote),), iter([names]), len(names))
    return tuple(e for e in found.entries if e.is_folder or old.get(e.path) != e.digest)


def _send(
    connection: Connection,
    script: str,
    arguments: tuple[str, ...],
    data: Iterator[bytes],
    size: int,
) -> tuple[int, str, int]:
    """Exit code, what the device said, and bytes sent; `size` is how many there will be."""
    source = "cat" if connection.ends_input else f"head -c {size}"
    channel = start(connection, script, source, *arguments)
    try:
        sent = _pour(channel, data)
        code, out, err = finish(connection, channel, "during a push", SETTLE_S)
    except TimeoutError as error:
        raise lost(connection.name, "during a push", str(error)) from error
    finally:
        channel.close()
    return code, err or out.decode("utf-8", "backslashreplace"), sent


def _pour(channel: Channel, data: Iterator[bytes]) -> int:
    """Send all, or as much as the command reads before it ends. Raises TimeoutError."""
    sent, began = 0, time.monotonic()
    try:
        for piece in data:
            channel.send(piece)
            sent += len(piece)
            if time.monotonic() - began > SETTLE_S + sent / SLOWEST_BYTES_PER_S:
                raise TimeoutError(f"accepts less than {SLOWEST_BYTES_PER_S >> 10} KB/s")
        channel.end()
    except BrokenPipeError:
        pass  # it has ended, and its words say why
    return sent


def _part(remote: PurePosixPath) -> str:
    return _text(remote.with_name(f".{remote.name[:200]}.{secrets.token_hex(4)}.part"))


def _text(path: PurePosixPath) -> str:
    text = str(path)
    return text if path.is_absolute() or text.startswith("./") else f"./{text}"
