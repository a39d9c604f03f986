"""The lab devices' root file systems: Debian packages and simulated programs. Built once, cached.

Nothing is emulated here, and nothing of the packages is run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from ..cache import digest, file_sha256, get_or_create, tree_sha256
from ..errors import StepFailed
from ..workspace import builtin, cache_root
from . import packages

Say = Callable[[str], None]
ARCHES: Final = {"phone": "arm64", "jetson": "arm64", "host": "amd64"}
#: users of the devices that Debian's packages do not make: name, uid, home
_USERS: Final = (("sshd", 100, "/run/sshd"), ("bench", 1000, "/home/bench"))
_MERGED: Final = ("bin", "sbin", "lib")


def make(name: str, say: Say) -> Path:
    """The root of a device, from the cache if available.

    Raises StepFailed if packages cannot be fetched, BenchError if the disk is full.
    """
    given = builtin() / "dockerfiles" / "lab" / name
    sources = [file_sha256(Path(module.__file__ or "")) for module in (packages,)]
    key = digest(name, tree_sha256(given), sources, file_sha256(Path(__file__)))

    def build(out: Path) -> None:
        say(f"building the lab's {name} (Debian packages for {ARCHES[name]})")
        out.chmod(0o755)
        _build(name, given, out)

    return get_or_create(cache_root() / "lab", "roots", key, build)[0]


def _build(name: str, given: Path, out: Path) -> None:
    wanted = packages.read_list(given / "packages.txt")
    arch = ARCHES[name]
    with _scratch(out) as (debs, unpacked):
        found = packages.fetch(wanted, arch, cache_root() / "lab" / "apt" / arch, debs)
        if name == "phone":
            chosen = [deb for deb in found if deb.name.partition("_")[0] in wanted.names]
            packages.unpack(chosen, unpacked)
            _android(unpacked, given, out)
        else:
            _debian(found, out)
        _put(given / "root", out)


class _scratch:
    """Temporary folders while the root is built."""

    def __init__(self, out: Path) -> None:
        self._folder = out.with_name(f"{out.name}.scratch")

    def __enter__(self) -> tuple[Path, Path]:
        folders = self._folder / "debs", self._folder / "unpacked"
        for folder in folders:
            folder.mkdir(parents=True)
        return folders

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self._folder)


def _android(unpacked: Path, given: Path, out: Path) -> None:
    """Android's layout: one shell, one multi-call program, and nothing that Android lacks."""
    tools = out / "system" / "bin"
    tools.mkdir(parents=True)
    shutil.copy2(unpacked / "usr/lib/aarch64-linux-musl/bin/mksh", tools / "sh")
    program = hide_applets((unpacked / "bin/busybox").read_bytes(), ("ash", "sh", "svc"))
    (tools / "busybox").write_bytes(program)
    (tools / "busybox").chmod(0o755)
    for applet in _words(given / "applets.txt"):
        (tools / applet).symlink_to("busybox")
    (out / "bin").symlink_to("system/bin")
    (out / "etc").symlink_to("system/etc")
    (out / "sdcard").symlink_to("data/media/0")
    for folder in ("proc", "sys", "dev", "vendor", "mnt", "data/media/0", "data/system/lab"):
        (out / folder).mkdir(parents=True)
    for folder in ("data/local/tmp", "data/misc/adb"):
        (out / folder).mkdir(parents=True)
    for folder in ("data/local/tmp", "data/media/0", "data/system/lab", "data/misc/adb"):
        shutil.chown(out / folder, 2000, 2000)
    (out / "data/local/tmp").chmod(0o771)


def hide_applets(program: bytes, names: Iterable[str]) -> bytes:
    """Busybox under which these names are not its own any more, but programs to be looked for.

    Debian's static busybox is built to run its own applets before anything in PATH, also for
    `setsid sh`; on a phone that must be the phone's sh. Each name gets another last letter in the
    sorted table of applets. Raises StepFailed when there is no such table.
    """
    start = program.find(b"[\0[[\0")
    end = program.find(b"\0\0", start)
    table = program[start:end].split(b"\0")
    for name in names:
        at = table.index(name.encode()) if name.encode() in table else -1
        other = name[:-1] + chr(ord(name[-1]) - 1)
        if start < 0 or at < 1 or not table[at - 1] < other.encode() < table[at + 1]:
            raise StepFailed(
                f"busybox: no applet '{name}' to hide",
                "Use Debian's build of busybox-static.",
            )
        table[at] = other.encode()
    return program[:start] + b"\0".join(table) + program[end:]


def _debian(debs: list[Path], out: Path) -> None:
    """The needed part of debootstrap's second stage."""
    for folder in _MERGED:
        (out / "usr" / folder).mkdir(parents=True)
        (out / folder).symlink_to(f"usr/{folder}")
    if any("_amd64" in deb.name for deb in debs):
        (out / "usr/lib64").mkdir()
        (out / "lib64").symlink_to("usr/lib64")
    packages.unpack(debs, out)
    for part in ("doc", "man", "locale", "info", "lintian", "bug"):
        shutil.rmtree(out / "usr/share" / part, ignore_errors=True)
    for folder, mode in (("proc", 0o755), ("sys", 0o755), ("tmp", 0o1777), ("run/sshd", 0o755)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        (out / folder).chmod(mode)
    _users(out)
    for name, target in (("awk", "mawk"), ("which", "which.debianutils")):
        (out / "usr/bin" / name).unlink(missing_ok=True)
        (out / "usr/bin" / name).symlink_to(target)


def _users(out: Path) -> None:
    master = out / "usr/share/base-passwd"
    passwd = (master / "passwd.master").read_text()
    group = (master / "group.master").read_text()
    for name, number, home in _USERS:
        passwd += f"{name}:x:{number}:{number}::{home}:/bin/bash\n"
        group += f"{name}:x:{number}:\n"
    (out / "etc/passwd").write_text(passwd.replace(":*:", ":x:"))
    (out / "etc/group").write_text(group)
    # no password fits `*`, and a key still lets in
    names = [line.partition(":")[0] for line in passwd.splitlines()]
    (out / "etc/shadow").write_text("".join(f"{name}:*:19000:0:99999:7:::\n" for name in names))
    (out / "etc/shadow").chmod(0o640)
    (out / "home/bench").mkdir(parents=True)
    shutil.chown(out / "home/bench", 1000, 1000)


def _put(stand_ins: Path, out: Path) -> None:
    """Copy bench's files; those in program folders are made executable."""
    for source in _files(stand_ins):
        target = out / source.relative_to(stand_ins)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.parent.name in ("bin", "sbin") else 0o644)


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _words(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]
