"""The bytes' way to an SSH server: a TCP connection, or a ProxyCommand."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading

CONNECT_S = 15.0


def tcp(host: str, port: int, family: int, patience_s: float) -> socket.socket:
    """A connection that detects a dead peer within half a minute.

    Tries every address of the host. Raises OSError, UnicodeError for a name that none can have.
    """
    failure = OSError(f"no address found for {host}")
    for kind, way, protocol, _, address in socket.getaddrinfo(
        host, port, family, socket.SOCK_STREAM
    ):
        made = socket.socket(kind, way, protocol)
        try:
            made.settimeout(patience_s)
            made.connect(address)
        except OSError as error:
            made.close()
            failure = error
            continue
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
        return made
    raise failure


class Command(socket.socket):
    """Both ends of a ProxyCommand as one socket; the program ends when it is closed."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the socket
        self._last_words = ""
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said,
                start_new_session=True,
            )
        except BaseException:
            super().close()
            self._said.close()
            raise
        finally:
            theirs.close()

    def close(self) -> None:
        """From any thread, also twice: paramiko's own closes it when the program has ended."""
        super().close()
        with self._lock:
            if self._said.closed:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "backslashreplace").split("\n")
            self._last_words = next((line.strip() for line in lines[::-1] if line.strip()), "")
            self._said.close()

    @property
    def last_words(self) -> str:
        """The last line that it wrote to its standard error, once it is closed."""
        with self._lock:
            return self._last_words
