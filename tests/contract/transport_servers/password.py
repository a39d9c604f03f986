"""An SSH server that knows one password, since sshd would want one of this machine's users."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import paramiko

PASSWORD = "s3 cret/ü"


class _Rules(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("me", PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"


class PasswordServer:
    """Serves one login; no commands."""

    def __init__(self, folder: Path) -> None:
        key = paramiko.RSAKey.generate(2048)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.known_hosts = folder / "known_hosts"
        line = f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"
        self.known_hosts.write_text(line)
        self._thread = threading.Thread(target=self._serve, args=(key,))
        self._thread.start()

    @property
    def address(self) -> str:
        options = f"password=${{env:BENCH_TEST_PASSWORD}}&known_hosts={self.known_hosts}"
        return f"me@127.0.0.1:{self.port}?{options}&config=/dev/null"

    def stop(self) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self, key: paramiko.PKey) -> None:
        connected, _ = self._listener.accept()
        transport = paramiko.Transport(connected)
        transport.add_server_key(key)
        transport.start_server(server=_Rules())
        transport.join(8)
        transport.close()
