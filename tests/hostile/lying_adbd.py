"""A server on loopback that speaks ADB as it likes: each test says how it lies."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

HEAD = struct.Struct("<6I")
PACKET = struct.Struct("<BI")
STDOUT, STDERR, EXIT = 1, 2, 3


def message(command: bytes, first: int, second: int, data: bytes = b"") -> bytes:
    number = int.from_bytes(command, "little")
    return HEAD.pack(number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF) + data


def packet(kind: int, data: bytes) -> bytes:
    """Of shell v2."""
    return PACKET.pack(kind, len(data)) + data


class Peer:
    """One connection of bench's."""

    def __init__(self, client: socket.socket) -> None:
        self.socket = client

    def read(self) -> tuple[bytes, int, int, bytes]:
        command, first, second, size, _, _ = HEAD.unpack(self._exactly(HEAD.size))
        return command.to_bytes(4, "little"), first, second, self._exactly(size)

    def write(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        self.socket.sendall(message(command, first, second, data))

    def greet(self, features: str = "shell_v2", max_data: int = 1 << 20) -> None:
        """Let bench in, whoever it is."""
        assert self.read()[0] == b"CNXN"
        banner = f"device::ro.product.name=liar;features={features}".encode()
        self.write(b"CNXN", 0x01000001, max_data, banner)

    def opened(self) -> tuple[int, str]:
        """The next service: bench's number of it, and its name; accepted."""
        while (read := self.read())[0] != b"OPEN":
            pass
        self.write(b"OKAY", 7, read[1])
        return read[1], read[3].rstrip(b"\0").decode()

    def say(self, number: int, data: bytes) -> None:
        """Output of a service, as bench's word for it comes."""
        self.write(b"WRTE", 7, number, data)
        while (read := self.read())[0] != b"OKAY" or read[2] != 7:
            pass

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return bytes(data)


def marks(service: str) -> bytes:
    """What a script of bench's prints before anything of its own."""
    found = re.search(r"printf [^b]*(bench-[0-9a-f]{16})", service.replace("' '", ""))
    assert found, service
    return f"\n{found[1]}\n".encode()


@contextlib.contextmanager
def lying(behave: Callable[[Peer], object]) -> Iterator[str]:
    """The address of a server that treats each connection so."""
    listener = socket.create_server(("127.0.0.1", 0))
    clients: list[socket.socket] = []

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            behave(Peer(client))
            while client.recv(1 << 16):  # it stays until bench goes
                pass

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threading.Thread(target=one, args=(client,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for connected in (listener, *clients):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            connected.close()
        thread.join(10)
