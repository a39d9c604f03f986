"""Files and folders from a device, through the output of a command."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path, PurePosixPath

from ..errors import StepFailed
from . import Transfer, archive, scripts
from .channel import STALL_S, Channel, Connection, Exited
from .failures import lost, refused
from .local import discard, measure, put_in_place
from .started import start


def pull(connection: Connection, remote: PurePosixPath, local: Path) -> Transfer:
    """See `Transport.pull`."""
    began = time.monotonic()
    action = f"pull {connection.name}:{remote} to {local}"
    part = local.with_name(f".{local.name}.{secrets.token_hex(4)}.part")
    path = str(remote) if remote.is_absolute() else f"./{remote}"
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        channel = start(connection, scripts.PULL, path)
        try:
            _receive(_Source(connection.name, channel, action), part)
        finally:
            channel.close()
        files, size = measure(part)
        put_in_place(part, local)
    except OSError as error:
        raise refused(action, str(error)) from error
    finally:
        discard(part)
    return Transfer(files, size, time.monotonic() - began)


class _Source:
    """The standard output of a command; at its end, its exit code decides."""

    def __init__(self, name: str, channel: Channel, action: str) -> None:
        self._name, self._channel, self._action = name, channel, action
        self._said = bytearray()
        self._rest = b""
        self._over = False

    def header(self) -> str:
        """The first line. Raises StepFailed with the device's words when there is none."""
        head = b""
        while b"\n" not in head:
            data = self.more()
            if not data:
                raise refused(self._action, "the device sent nothing")
            head += data
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
            event = self._channel.receive(STALL_S)
            if event is None:
                raise lost(self._name, "in the middle of a pull", f"no answer for {STALL_S:g} s")
            if isinstance(event, Exited):
                self._end(event.code)
            elif event.is_error:
                self._said += event.data
            else:
                return event.data
        return b""

    def _end(self, code: int) -> None:
        self._over = True
        if code:
            raise refused(self._action, self._said.decode("utf-8", "backslashreplace"))

    def _drain(self, head: bytes) -> None:
        """A device with one output for all: what is no file is an error message."""
        self._said += head
        self._rest = b""
        while data := self.more():
            self._said += data
        raise refused(self._action, self._said.decode("utf-8", "backslashreplace"))


def _receive(source: _Source, part: Path) -> None:
    header = source.header()
    if header == "D":
        part.mkdir()
        try:
            archive.unpack(source.more, part)
        except StepFailed:
            while source.more():  # what the device says of it is the better reason
                pass
            raise
        return
    with open(part, "wb") as file:
        while data := source.more():
            file.write(data)
    part.chmod(int(header.split()[1], 8))
