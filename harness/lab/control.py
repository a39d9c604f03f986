"""Commands to a lab device: one JSON line each way, over a Unix socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedRWPair
from pathlib import Path

from ..serial import dumps, from_json

_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Request:
    """A fault by name, with its value, if any."""

    name: str
    value: str = ""


@dataclass(frozen=True)
class Reply:
    """What was done, or why not."""

    ok: bool
    text: str


def listen(path: Path) -> Iterator[tuple[Request, Callable[[Reply], None]]]:
    """Requests as they come, each with the function that answers it."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        with _short(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        listener.listen()
        while True:
            connected, _ = listener.accept()
            with connected, connected.makefile("rwb") as file:
                line = file.readline()
                if line:
                    yield from_json(Request, json.loads(line)), partial(_send, file)


def ask(path: Path, request: Request) -> Reply:
    """Raises OSError if nothing listens there."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(_PATIENCE_S)
        with _short(path) as name:
            connected.connect(name)
        with connected.makefile("rwb") as file:
            _send(file, request)
            line = file.readline()
    if not line:
        raise ConnectionResetError("connection closed without an answer")
    return from_json(Reply, json.loads(line))


def _send(file: BufferedRWPair, record: Request | Reply) -> None:
    file.write(dumps(record).encode() + b"\n")
    file.flush()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for the socket that fits into its 108 bytes, however deep its folder is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
