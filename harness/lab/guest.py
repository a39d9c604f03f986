"""Inside a lab device: its first process, which mounts, enters the root, serves, and reaps.

    unshare ... python -m harness.lab.guest '{"root": ..., "listener": FD, ...}'

It is process 1 of its own process namespace: when it ends, the kernel ends all that ran there.
Lines on standard input: `drop` breaks every connection, `refuse` and `accept` are about ADB keys.
When standard input ends, so does the device.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ..serial import from_json
from .adbd import Adbd, Phone
from .adbd_shell import Shell
from .doorman import Doorman

SHELL_USER: Final = 2000  # Android's `shell`
_NODES: Final = {
    "null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9),
    "tty": (5, 0),
}  # fmt: skip
ANDROID_ENV: Final = {
    "PATH": "/system/bin:/vendor/bin",
    "HOME": "/",
    "SHELL": "/system/bin/sh",
    "USER": "shell",
    "LOGNAME": "shell",
    "HOSTNAME": "lab_phone",
    "TMPDIR": "/data/local/tmp",
    "ANDROID_ROOT": "/system",
    "ANDROID_DATA": "/data",
    "EXTERNAL_STORAGE": "/sdcard",
    # as phones have it; of itself qemu has SVE and SME, which it computes ten times slower
    "QEMU_CPU": "cortex-a76",
}


@dataclass(frozen=True)
class Boot:
    """One boot of a device."""

    root: str
    service: Literal["adb", "ssh"]
    hostname: str
    #: file descriptor of a socket that listens on this machine's loopback address
    listener: int
    #: file of this machine -> where it hides one of /proc
    over_proc: dict[str, str]


def main() -> int:
    """Never returns while the device is up."""
    boot = from_json(Boot, json.loads(sys.argv[1]))
    socket.sethostname(boot.hostname)
    _mount(boot)
    for name in ("ascii", "idna", "latin-1"):
        codecs.lookup(name)  # their modules cannot be imported inside
    os.chroot(boot.root)
    os.chdir("/")
    child = os.fork()
    if child == 0:
        _serve(boot)
        os._exit(0)
    os.close(0)
    os.close(boot.listener)
    while True:
        ended, _ = os.wait()
        if ended == child:
            return 0


def _mount(boot: Boot) -> None:
    root = Path(boot.root)
    _run("mount", "-t", "proc", "proc", str(root / "proc"))
    for source, target in boot.over_proc.items():
        _run("mount", "--bind", source, str(root / target.lstrip("/")))
    dev = root / "dev"
    _run("mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "dev", str(dev))
    for name, numbers in _NODES.items():
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
        (dev / name).chmod(0o666)
    (dev / "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (dev / name).symlink_to(f"/proc/self/fd/{number}")
    for name, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=620"),
        ("shm", "tmpfs", "mode=1777"),
    ):
        if boot.service == "adb" and name == "shm":
            continue  # Android has none
        (dev / name).mkdir()
        _run("mount", "-t", kind, "-o", options, name, str(dev / name))
    (dev / "ptmx").symlink_to("pts/ptmx")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def _serve(boot: Boot) -> None:
    listener = socket.socket(fileno=boot.listener)
    listener.setblocking(True)
    if boot.service == "adb":
        _serve_adb(listener)
    else:
        _serve_ssh(listener)


def _serve_adb(listener: socket.socket) -> None:
    os.setgroups([])
    os.setgid(SHELL_USER)
    os.setuid(SHELL_USER)
    os.umask(0)
    keys = Path("/data/misc/adb/adb_keys")
    phone = Phone(
        shell=Shell(("/system/bin/sh", "-c"), ANDROID_ENV), keys=keys, properties=_properties()
    )
    adbd = Adbd(phone, listener=listener)
    for line in sys.stdin:
        order = line.strip()
        if order == "drop":
            adbd.drop()
        elif order == "refuse":
            phone.accepts = False
            keys.unlink(missing_ok=True)
            adbd.drop()
        elif order == "accept":
            phone.accepts = True


def _properties() -> str:
    lines = Path("/system/build.prop").read_text("utf-8").splitlines()
    named = ("ro.product.name=", "ro.product.model=", "ro.product.device=")
    return ";".join(line for line in lines if line.startswith(named))


def _serve_ssh(listener: socket.socket) -> None:
    doorman = Doorman(listener)
    for line in sys.stdin:
        if line.strip() == "drop":
            doorman.drop()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
