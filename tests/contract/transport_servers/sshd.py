"""A real sshd with its own host key, configuration and authorised key, ended with the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from . import descendants, free_port, listens, wait_for

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/id.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
SetEnv HOME={folder}/home
Subsystem sftp internal-sftp
{more}
"""
#: runs its arguments where /etc/passwd is another file; nobody else sees that
WITH_PASSWD = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"')


def make_key(path: Path) -> None:
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)


class Sshd:
    """See `Device`."""

    transport = "ssh"

    def __init__(self, folder: Path, shell: str = "", more: str = "") -> None:
        """`shell` is the user's login shell, for which it must be root; `more` is configuration."""
        self.folder, self.port = folder, free_port()
        self.user = Path("~").expanduser().owner()
        self.known_hosts = folder / "known_hosts"
        (folder / "home").mkdir()
        make_key(folder / "host_key")
        make_key(folder / "id")
        (folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=folder, more=more))
        self._within = _passwd(folder, self.user, shell) if shell else ()
        self.trust()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        options = f"key={self.folder}/id&known_hosts={self.known_hosts}"
        return f"ssh://{self.user}@127.0.0.1:{self.port}?{options}"

    def trust(self) -> None:
        """What `ssh-keyscan` would write."""
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}\n")

    def start(self) -> None:
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")]
        command = [*self._within, *command]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port))

    def sessions(self) -> list[int]:
        """Processes of sshd that serve a connection; not the commands that they run."""
        assert self._process is not None
        return [pid for pid, line in descendants(self._process.pid) if line.startswith("sshd: ")]

    def drop(self) -> None:
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None:
            sessions = self.sessions()
            self._process.kill()
            self._process.wait()
            self._process = None
            for pid in sessions:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def hang(self) -> None:
        for pid in self.sessions():
            os.kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        for pid in self.sessions():
            os.kill(pid, signal.SIGCONT)


def _passwd(folder: Path, user: str, shell: str) -> tuple[str, ...]:
    assert os.geteuid() == 0, "needs root, to give a user another shell"
    lines = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    changed = [[*line[:-1], shell] if line[0] == user else line for line in lines]
    (folder / "passwd").write_text("".join(":".join(line) + "\n" for line in changed))
    return (*WITH_PASSWD, str(folder / "passwd"))
