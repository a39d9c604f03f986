"""The phone's side of ADB over TCP, in front of a folder and a shell; Debian's `adb` talks to it.

    python -m harness.lab.adbd --root / --keys FILE

It writes `port N` and a newline when it listens, and obeys lines on its standard input:
`drop` (all connections break), `hang`, `wake`, `refuse` and `accept` (keys it does not know).
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .adbd_keys import PublicKey, parse
from .adbd_shell import Shell, run_plain, run_v2
from .adbd_stream import AUTH, CLSE, CNXN, OKAY, OPEN, WRTE, Cable, Stream
from .adbd_sync import Sync

VERSION, MAX_DATA = 0x01000001, 1 << 20
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3


@dataclass
class Phone:
    """What it serves, and its current faults."""

    root: Path = Path("/")
    shell: Shell = field(default_factory=Shell)
    features: Sequence[str] = ("shell_v2", "cmd", "fixed_push_mkdir")
    properties: str = "ro.product.name=bench;ro.product.model=Emulated;ro.product.device=bench"
    #: file of the keys that were accepted; None lets everybody in
    keys: Path | None = None
    #: whether somebody at the screen would say Allow
    accepts: bool = True
    awake: threading.Event = field(default_factory=threading.Event)

    def known(self) -> list[PublicKey]:
        """Previously accepted keys."""
        if self.keys is None or not self.keys.is_file():
            return []
        return [parse(line) for line in self.keys.read_bytes().splitlines() if line]


class Adbd:
    """Listens on 127.0.0.1; one thread per connection and per service."""

    def __init__(self, phone: Phone, port: int = 0, listener: socket.socket | None = None) -> None:
        self.phone = phone
        phone.awake.set()
        self._cables: set[Cable] = set()
        self._listener = listener or socket.create_server(("127.0.0.1", port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Close every connection; new ones are accepted."""
        for cable in list(self._cables):
            cable.close()

    def close(self) -> None:
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(Cable(connected),), daemon=True).start()

    def _serve(self, cable: Cable) -> None:
        self._cables.add(cable)
        host = _Host(cable, self.phone)
        with contextlib.suppress(OSError, ValueError):
            host.serve()
        host.end()
        self._cables.discard(cable)
        cable.close()


class _Host:
    """One connected host."""

    def __init__(self, cable: Cable, phone: Phone) -> None:
        self._cable, self._phone = cable, phone
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._token = b""
        self._trusted = phone.keys is None

    def serve(self) -> None:
        """Messages until the connection breaks (OSError)."""
        while True:
            command, first, second, data = self._cable.read()
            self._phone.awake.wait()
            if command == CNXN:
                self._cable.max_data = min(second, MAX_DATA)
                self._greet()
            elif command == AUTH:
                self._authorise(first, data)
            elif self._trusted:
                self._pass_on(command, first, second, data)

    def end(self) -> None:
        """The host has disconnected; services see the end of their streams."""
        for stream in self._streams.values():
            stream.end()

    def _greet(self) -> None:
        if not self._trusted:
            self._token = secrets.token_bytes(20)
            self._cable.write(AUTH, TOKEN, 0, self._token)
            return
        features = ",".join(self._phone.features)
        banner = f"device::{self._phone.properties};features={features}"
        self._cable.write(CNXN, VERSION, MAX_DATA, banner.encode())

    def _authorise(self, kind: int, data: bytes) -> None:
        if kind == SIGNATURE:
            self._trusted = any(key.signed(self._token, data) for key in self._phone.known())
        elif kind == PUBLIC_KEY:
            parse(data)
            if not self._phone.accepts:
                return  # the prompt is on the screen, and nobody answers
            assert self._phone.keys is not None
            with open(self._phone.keys, "ab") as file:
                file.write(data.strip(b"\0\n") + b"\n")
            self._trusted = True
        self._greet()

    def _pass_on(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == OPEN:
            self._open(first, data)
        elif (stream := self._streams.get(second)) is None:
            if command != CLSE:
                self._cable.write(CLSE, 0, first)
        elif command == WRTE:
            stream.arrive(data)
        elif command == OKAY:
            stream.acknowledge()
        elif command == CLSE:
            del self._streams[second]
            if not stream.closed:
                stream.end()
                self._cable.write(CLSE, second, first)

    def _open(self, remote: int, data: bytes) -> None:
        service = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
        if not service.startswith(("shell", "exec:", "sync:")):
            self._cable.write(CLSE, 0, remote)
            return
        self._last += 1
        stream = self._streams[self._last] = Stream(self._cable, self._last, remote)
        self._cable.write(OKAY, stream.local, remote)
        threading.Thread(target=self._run, args=(stream, service), daemon=True).start()

    def _run(self, stream: Stream, service: str) -> None:
        name, _, command = service.partition(":")
        with contextlib.suppress(OSError):
            if name == "sync":
                Sync(stream, self._phone.root).serve()
            elif name.startswith("shell,v2"):
                run_v2(stream, self._phone.shell, command)
            else:
                run_plain(stream, self._phone.shell, command)


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, prog="adbd")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--keys", type=Path, default=None, help="file of accepted keys")
    parser.add_argument("--features", default="shell_v2,cmd,fixed_push_mkdir")
    parser.add_argument("--shell", nargs="+", default=["/bin/sh", "-c"])
    chosen = parser.parse_args()
    features = tuple(filter(None, chosen.features.split(",")))
    phone = Phone(chosen.root, Shell(tuple(chosen.shell)), features, keys=chosen.keys)
    adbd = Adbd(phone, chosen.port)
    sys.stdout.write(f"port {adbd.port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        _obey(adbd, line.strip())
    adbd.close()
    return 0


def _obey(adbd: Adbd, order: str) -> None:
    if order == "drop":
        adbd.drop()
    elif order in ("hang", "wake"):
        (adbd.phone.awake.clear if order == "hang" else adbd.phone.awake.set)()
    elif order in ("accept", "refuse"):
        adbd.phone.accepts = order == "accept"


if __name__ == "__main__":
    sys.exit(main())
