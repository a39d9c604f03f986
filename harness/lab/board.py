"""The outside of a lab device: its storage, its power, and its faults.

It lives in a mount namespace of its own, so that nothing of it is seen on this machine, and all of
it is gone when it ends; see `daemon`, which runs it, and `faults`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import StepFailed
from ..serial import dumps
from . import sysfs
from .guest import Boot

_HOSTNAMES: Final = {"phone": "lab-phone", "jetson": "lab-jetson", "host": "lab-host"}


@dataclass(frozen=True)
class DevicePlan:
    """The configuration of a board; all paths are absolute."""

    name: str
    #: the device's files as they were made, never changed
    lower: str
    #: folder of this board, with its control socket
    folder: str
    port: int
    #: room for all that is written on the device; in memory, taken when it is used
    storage_mb: int
    #: ssh devices: public key that is let in, private host keys
    user_key: str = ""
    host_keys: tuple[str, ...] = ()


class Board:
    """One device that can be switched off and on again; its storage persists."""

    def __init__(self, plan: DevicePlan) -> None:
        self.plan = plan
        self.folder = Path(plan.folder)
        self.root = self.folder / "root"
        self.store = self.folder / "store"
        self._guest: subprocess.Popen[bytes] | None = None
        self._power = threading.Lock()
        self._closed = False
        self._mount()
        self._furnish()

    @property
    def is_phone(self) -> bool:
        return self.plan.name == "phone"

    @property
    def sys(self) -> Path:
        """The device's /sys."""
        return self.root / "sys"

    # ---- power ----

    def boot(self) -> None:
        """Start with new processes, uptime, boot id and connections."""
        with self._power:
            if not self._closed and self._guest is None:
                self._boot()

    def close(self) -> None:
        """Switch off permanently."""
        self._closed = True
        self.cut_power()

    def _boot(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.plan.port), backlog=64)
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        boot = Boot(
            root=str(self.root),
            service="adb" if self.is_phone else "ssh",
            hostname=_HOSTNAMES[self.plan.name],
            listener=listener.fileno(),
            over_proc=self._over_proc(),
        )
        uptime_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        with listener, open(self.folder / "log", "ab") as log:
            self._guest = subprocess.Popen(
                [
                    *("unshare", "--mount", "--pid", "--uts", "--net", "--ipc", "--time"),
                    *("--fork", "--kill-child", f"--boottime=-{uptime_s}"),
                    *(sys.executable, "-P", "-m", "harness.lab.guest", dumps(boot)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(boot.listener,),
            )

    def cut_power(self) -> None:
        """Kill all processes and connections of the device at once."""
        with self._power:
            if self._guest is None:
                return
            first = self.first()
            if first is not None:  # the kernel ends the others, and then this one
                _signal(first, signal.SIGKILL)
            self._guest.communicate()
            self._guest = None

    def order(self, word: str) -> None:
        """Send a command to the device's service; see `guest`."""
        if self._guest is None or self._guest.stdin is None:
            raise StepFailed("the device is off", "Wait until the device has restarted.")
        self._guest.stdin.write(word.encode() + b"\n")
        self._guest.stdin.flush()

    def first(self) -> int | None:
        """Process 1 of the device, by its host pid; None while it is off."""
        if self._guest is None:
            return None
        found = [pid for pid, parent in _parents() if parent == self._guest.pid]
        return found[0] if found else None

    def processes(self) -> list[int]:
        """All processes of the device, by host pid; process 1 first."""
        first = self.first()
        if first is None:
            return []
        space = _space(first)
        others = [pid for pid, _ in _parents() if pid != first and _space(pid) == space]
        return [first, *others]

    def jobs(self) -> list[int]:
        """Processes without the device's own services."""
        first, *others = self.processes() or [0]
        parents = dict(_parents())
        services = [pid for pid in others if parents.get(pid) == first and _is_ours(pid)]
        return [pid for pid in others if pid not in services and not _is_sshd(pid)]

    def written_bytes(self) -> int:
        """Bytes written to the device's storage since its creation."""
        seen = os.statvfs(self.store)
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize

    def resize(self, size: str) -> None:
        """Change the storage limit, in mount's syntax; files are kept."""
        _run("mount", "-o", f"remount,size={size}", str(self.store))

    # ---- made once ----

    def _mount(self) -> None:
        for folder in (self.root, self.store):
            folder.mkdir(parents=True, exist_ok=True)
        size = f"size={self.plan.storage_mb}m,mode=755"
        _run("mount", "-t", "tmpfs", "-o", size, "lab", str(self.store))
        upper, work = self.store / "upper", self.store / "work"
        for folder in (upper, work):
            folder.mkdir()
        options = f"lowerdir={self.plan.lower},upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "-o", options, "lab", str(self.root))

    def _furnish(self) -> None:
        sysfs.write(sysfs.BOARDS[self.plan.name], sorted(os.sched_getaffinity(0)), self.sys)
        if self.is_phone:
            return
        (self.root / "etc/machine-id").write_text(secrets.token_hex(16) + "\n")
        (self.root / "etc/hostname").write_text(_HOSTNAMES[self.plan.name] + "\n")
        ssh = self.root / "etc/ssh"
        shutil.copyfile(self.plan.user_key, ssh / "lab_authorized_keys")
        (ssh / "lab_authorized_keys").chmod(0o644)
        self.use_host_key(0)

    def use_host_key(self, number: int) -> None:
        """New connections get this host key."""
        key = self.root / "etc/ssh/lab_host_key"
        shutil.copyfile(self.plan.host_keys[number], key)
        key.chmod(0o600)

    def _over_proc(self) -> dict[str, str]:
        over = {str(self.folder / "boot_id"): "/proc/sys/kernel/random/boot_id"}
        if self.plan.name != "host":
            cpuinfo = self.folder / "cpuinfo"
            cpuinfo.write_text(_arm_cpuinfo(sorted(os.sched_getaffinity(0))))
            over[str(cpuinfo)] = "/proc/cpuinfo"
        return over


def _arm_cpuinfo(cpus: list[int]) -> str:
    one = (
        "BogoMIPS\t: 38.40\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp "
        "asimdhp cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd42\nCPU revision\t: 1\n"
    )
    return "\n".join(f"processor\t: {cpu}\n{one}" for cpu in cpus)


def _parents() -> list[tuple[int, int]]:
    """pid and parent of every process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2]
            except OSError:
                continue  # it has just ended
            found.append((int(folder.name), int(after_name.split()[1])))
    return found


def command_line(pid: int) -> str:
    """The command line of a process, without qemu's part."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""  # it has just ended
    return raw.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def _is_ours(pid: int) -> bool:
    return "harness.lab.guest" in command_line(pid)


def _is_sshd(pid: int) -> bool:
    return "/usr/sbin/sshd" in command_line(pid) or command_line(pid).startswith("sshd: ")


def _space(pid: int) -> str | None:
    """The process namespace that a process is in."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
