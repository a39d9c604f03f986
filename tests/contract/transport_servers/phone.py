"""A phone that is no phone: `harness.lab.adbd` in a process of its own, and Debian's adb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from . import environment, free_port, listens, wait_for

REPOSITORY = Path(__file__).resolve().parents[3]


class Phone:
    """See `Device`."""

    transport = "adb"

    def __init__(self, folder: Path, features: str = "shell_v2,cmd,fixed_push_mkdir") -> None:
        self.folder, self.port, self.features = folder, free_port(), features
        self.keys = folder / "adb_keys"
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "harness.lab.adbd", "--port", str(self.port)]
        options = ["--keys", str(self.keys), "--features", self.features]
        self._process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"port {self.port}\n"

    def order(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def drop(self) -> None:
        self.order("drop")

    def hang(self) -> None:
        self.order("hang")

    def wake(self) -> None:
        self.order("wake")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class AdbServer:
    """Debian's adb: a server on a port of its own, with its own key, and its client."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        home = folder / "adb-home"
        home.mkdir()
        self._env = {**environment(home), "ANDROID_ADB_SERVER_PORT": str(self.port)}
        with open(folder / "adb.log", "wb") as log:
            self._process = subprocess.Popen(
                ["adb", "nodaemon", "server"],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: listens(self.port))

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["adb", *argv], env=self._env, capture_output=True, check=check, timeout=120
        )

    def connect(self, phone: Phone) -> str:
        """Connect and authorise; the phone's serial."""
        self.run("connect", phone.address, check=False)
        wait_for(lambda: self._state(phone) == b"device", 15)
        return phone.address

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _state(self, phone: Phone) -> bytes:
        return self.run("-s", phone.address, "get-state", check=False).stdout.strip()


class PhoneOnServer(Phone):
    """A phone that hangs on an adb server."""

    def __init__(self, folder: Path) -> None:
        self.server = AdbServer(folder)
        super().__init__(folder)

    @property
    def address(self) -> str:
        return f"server:127.0.0.1:{self.server.port}/127.0.0.1:{self.port}"

    def start(self) -> None:
        super().start()
        self.server.run("connect", f"127.0.0.1:{self.port}", check=False)
        wait_for(self._there, 20)

    def _there(self) -> bool:
        serial = f"127.0.0.1:{self.port}"
        return self.server.run("-s", serial, "get-state", check=False).stdout == b"device\n"

    def end(self) -> None:
        self.stop()
        self.server.stop()
