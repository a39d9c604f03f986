"""An SSH server on loopback that lets bench in and then behaves as a test likes; it is paramiko."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko


class Rules(paramiko.ServerInterface):
    """Anybody comes in; a command is accepted unless `mute`."""

    def __init__(self, behave: Callable[[paramiko.Channel, str], object], mute: bool) -> None:
        self._behave, self._mute = behave, mute

    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "none"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self._mute:
            threading.Event().wait(20)
            return False
        arguments = (channel, command.decode())
        threading.Thread(target=self._run, args=arguments, daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        time.sleep(0.05)  # paramiko says first that the command is accepted
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._behave(channel, command)


@contextlib.contextmanager
def lying(
    folder: Path,
    behave: Callable[[paramiko.Channel, str], object] = lambda channel, command: None,
    *,
    mute: bool = False,
    ciphers: tuple[str, ...] = (),
    digests: tuple[str, ...] = (),
) -> Iterator[str]:
    """The address of a server whose host key is known."""
    key = paramiko.ECDSAKey.generate()
    with _listening(lambda client: _served(client, key, Rules(behave, mute), ciphers, digests)) as (
        port
    ):
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        yield f"me@127.0.0.1:{port}?config=none&known_hosts={known}"


@contextlib.contextmanager
def raw(said: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of a server that speaks no SSH."""
    with _listening(said) as port:
        yield f"me@127.0.0.1:{port}?config=none&known_hosts=/dev/null"


def _served(
    client: socket.socket,
    key: paramiko.PKey,
    rules: Rules,
    ciphers: tuple[str, ...],
    digests: tuple[str, ...],
) -> None:
    transport = paramiko.Transport(client)
    transport.add_server_key(key)
    options = transport.get_security_options()
    options.ciphers = ciphers or options.ciphers
    options.digests = digests or options.digests
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        transport.start_server(server=rules)
        transport.join(20)
    transport.close()


@contextlib.contextmanager
def _listening(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    clients: list[socket.socket] = []

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            serve(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for connected in (listener, *clients):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            connected.close()
