"""Passes each connection to its own sshd, like inetd, and can close it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SSHD: Final = ("/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/lab_config")
LOG: Final = Path("/var/log/sshd.log")


class Doorman:
    """One thread that accepts, and one for each connection."""

    def __init__(self, listener: socket.socket, argv: Sequence[str] = SSHD) -> None:
        self._listener, self._argv = listener, argv
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Close every connection; new ones are accepted."""
        for connected in list(self._open):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        self._open.add(connected)
        with open(LOG, "ab") as log, connected:
            process = subprocess.Popen(
                list(self._argv),
                stdin=connected.fileno(),
                stdout=connected.fileno(),
                stderr=log,
                env={"PATH": os.defpath},
                start_new_session=True,
            )
            process.wait()
            self._open.discard(connected)
