"""Files and folders from a device, through the output of a command."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path, PurePosixPath

from ..errors import JobTimeout, StepFailed
from ..untrusted import files, tar
from ..untrusted.budget import Allowance, Budget, free_bytes
from ..untrusted.names import NotTaken, shown
from . import Transfer, scripts
from .channel import STALL_S, Channel, Connection, Exited
from .failures import lost, refused
from .local import discard, measure, put_in_place
from .started import start

#: maximum length of a device's error message
SAID_BYTES = 1 << 16


def pull(connection: Connection, remote: PurePosixPath, local: Path, budget: Budget) -> Transfer:
    """See `Transport.pull`."""
    began = time.monotonic()
    action = f"pull {connection.name}:{remote} to {local}"
    part = local.with_name(f".{local.name}.{secrets.token_hex(4)}.part")
    path = str(remote) if remote.is_absolute() else f"./{remote}"
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        channel = start(connection, scripts.PULL, path)
        try:
            with files.handle(local.parent) as folder:
                allowance = Allowance(budget, free_bytes(folder))
            source = _Source(connection.name, channel, action, allowance)
            _receive(source, remote.name, part)
        finally:
            channel.close()
        count, size = measure(part)
        put_in_place(part, local)
    except OSError as error:
        raise refused(action, str(error)) from error
    finally:
        discard(part)
    return Transfer(count, size, time.monotonic() - began)


class _Source:
    """The standard output of a command; at its end, its exit code decides."""

    def __init__(self, name: str, channel: Channel, action: str, allowance: Allowance) -> None:
        self._name, self._channel, self.action = name, channel, action
        self.allowance = allowance
        self._said = bytearray()
        self._head = b""
        self._rest = b""
        self._over = False

    def header(self) -> str:
        """The first line. Raises StepFailed with the device's error if there is none."""
        while b"\n" not in self._head:
            data = self.more()
            if not data:
                raise refused(self.action, "the device sent nothing")
            self._head += data
            if b"\n" not in self._head[:SAID_BYTES] and len(self._head) > SAID_BYTES:
                raise refused(self.action, "the device sent no file")
        head, self._head = self._head, b""
        line, _, self._rest = head.partition(b"\n")
        if not re.fullmatch(rb"D|F [0-7]{3}", line):
            self._drain(head)
        return line.decode("ascii")

    def more(self) -> bytes:
        """Some bytes, b"" at the end. Raises StepFailed, DeviceLost."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        while not self._over:
            patience_s = min(STALL_S, self._left_s())
            event = self._channel.receive(patience_s)
            if event is None and patience_s == STALL_S:
                raise lost(self._name, "during a pull", f"no answer for {STALL_S:g} s")
            if event is None:
                continue
            if isinstance(event, Exited):
                self._end(event.code)
            elif event.is_error:
                self._said += event.data
                del self._said[:-SAID_BYTES]
            else:
                return event.data
        return b""

    def drain(self, head: bytes = b"") -> None:
        """Read the rest, up to a limit: a device with a single output reports its error there."""
        self._said += head
        while len(self._said) < SAID_BYTES and (data := self.more()):
            self._said += data

    def _left_s(self) -> float:
        try:
            return self.allowance.left_s
        except JobTimeout as error:
            raise JobTimeout(f"{self.action}: {error.message}") from None

    def _end(self, code: int) -> None:
        self._over = True
        if code:
            said = self._head + self._said  # a device with one output may not have ended the line
            raise refused(self.action, said.decode("utf-8", "backslashreplace"))

    def _drain(self, head: bytes) -> None:
        """A device with one output for all: what is no file is an error message."""
        self._rest = b""
        self.drain(head)
        raise refused(self.action, self._said.decode("utf-8", "backslashreplace"))


def _receive(source: _Source, name: str, part: Path) -> None:
    header = source.header()
    try:
        if header == "D":
            source.allowance.folder(name)
            _receive_folder(source, part)
        else:
            _receive_file(source, name, part, int(header.split()[1], 8))
    except tar.Broken as error:
        source.drain()  # the device's own message is the better reason
        what = f"{source.action}: damaged archive from the device: {error.message}"
        raise StepFailed(what) from None
    except NotTaken as error:
        raise StepFailed(f"{source.action}: {error.message}") from None


def _receive_folder(source: _Source, part: Path) -> None:
    part.mkdir()
    with files.handle(part) as folder:
        tar.unpack(source.more, folder, source.allowance)


def _receive_file(source: _Source, name: str, part: Path, mode: int) -> None:
    with files.handle(part.parent) as folder, files.created(part.name, mode, folder) as file:
        while data := source.more():
            source.allowance.spend(shown(name), len(data))
            files.write(file, data)
