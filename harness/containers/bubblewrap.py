"""Confines a process of a virtual environment with bubblewrap: no network, a read-only system.

A job sees the system's programs and libraries, its Python, its mounts and its own `/tmp`; nothing
of the user's home, of `/etc` or of other processes. Needs no root. If bench is root, the job runs
as another user, as in a container: root without any capability still owns /proc/sys.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from . import Mount, seccomp, user

#: size of /dev/shm, as in Docker
SHARED_MEMORY_BYTES: Final = 64 << 20
PROBE_S: Final = 10.0
MISSING: Final = "bubblewrap is missing: apt-get install bubblewrap"
#: links into /usr on merged systems, folders elsewhere
LIBRARIES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
#: read by the loader and the C library, and the program stores of some systems
SYSTEM: Final = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/sys",
    "/nix/store",
    "/gnu/store",
)
#: versions that introduced `--perms`, `--size` and `--disable-userns`
PERMS: Final = (0, 5)
SIZE: Final = (0, 7)
NO_USERNS: Final = (0, 8)
#: needed to become another user, and to enter that user's folder before
_RIGHTS: Final = ("SETUID", "SETGID", "SETPCAP", "DAC_READ_SEARCH")
_AS_ROOT: Final = tuple(word for name in _RIGHTS for word in ("--cap-add", f"CAP_{name}"))


@functools.cache
def why_not() -> str | None:
    """Why jobs cannot be confined here; None if they can. Tested once, with an empty job."""
    if shutil.which("bwrap") is None:
        return MISSING
    if reason := seccomp.why_not():
        return f"bubblewrap is not sufficient here: {reason}"
    try:
        done = _probed()
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {error}"
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return f"bubblewrap does not work here: {said[-1]}"


def _probed() -> subprocess.CompletedProcess[str]:
    with seccomp.opened() as calls:
        argv = [*_namespaces(), *_system(), "--tmpfs", "/tmp", *_sealed(calls), *_user(), "true"]
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_S,
            check=False,
            pass_fds=[calls],
        )


def confined(
    argv: Sequence[str], venv: Path, mounts: Sequence[Mount], temporary: Path, calls: int
) -> list[str]:
    """The command line that runs `argv` confined; `temporary` is its `/tmp` and home.

    `calls` is the file of `seccomp.opened`, which the process must inherit.

    Mounts are at their own paths. A folder inside another one keeps its own access. If bench is
    root, writable folders are given to the job's user.
    """
    user.give((*(m.host for m in mounts if m.writable), temporary))
    own = {(mount.host.resolve(), mount.writable) for mount in mounts}
    seen = {*_python(venv), (venv, False), *own}
    return [
        *_namespaces(),
        *_system(),
        *("--bind", str(temporary), "/tmp"),
        *(word for bind in sorted(seen, key=_depth) for word in _bind(*bind)),
        *("--chdir", "/tmp"),
        *_sealed(calls),
        *_user(),
        *argv,
    ]


def _namespaces() -> list[str]:
    """No capabilities, no access to a terminal; killed when bench ends."""
    return [
        *("bwrap", "--die-with-parent", "--new-session"),
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup-try", "--cap-drop", "ALL"),
        *(_AS_ROOT if os.getuid() == 0 else _as_user()),
    ]


def _as_user() -> list[str]:
    return ["--unshare-user", *(["--disable-userns"] if _version() >= NO_USERNS else [])]


def _user() -> list[str]:
    """Become the job's user, then drop the capabilities that this needed."""
    if os.getuid() != 0:
        return []
    one, none = str(user.USER_ID), ("--bounding-set", "--inh-caps", "--ambient-caps")
    drop = (word for name in none for word in (name, "-all"))
    return ["setpriv", "--reuid", one, "--regid", one, "--clear-groups", *drop]


def _system() -> list[str]:
    size = ["--size", str(SHARED_MEMORY_BYTES)] if _version() >= SIZE else []
    size += ["--perms", "1777"] if _version() >= PERMS else []
    return [
        *("--ro-bind", "/usr", "/usr"),
        *(word for name in LIBRARIES for word in _library(Path("/", name))),
        *(word for path in map(Path, SYSTEM) if path.exists() for word in _bind(path, False)),
        *("--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm"),
    ]


def _sealed(calls: int) -> list[str]:
    """Both are in memory, which a job could fill."""
    return ["--remount-ro", "/dev", "--remount-ro", "/", "--seccomp", str(calls), "--"]


def _library(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _python(venv: Path) -> Iterator[tuple[Path, bool]]:
    """Programs and libraries of the environment's Python that are not in /usr."""
    for prefix in {program.parent.parent for program in _programs(venv)} - {venv}:
        for folder in (prefix / "bin", prefix / "lib", prefix / "lib64"):
            if folder.is_dir() and not folder.is_relative_to("/usr"):
                yield folder, False


def _programs(venv: Path) -> Iterator[Path]:
    """Python's folder as in `pyvenv.cfg`, and every program along the links to it."""
    known = (venv / "pyvenv.cfg").read_text("utf-8")
    for home in re.findall(r"^home *= *(.+)$", known, re.MULTILINE):
        yield Path(home.strip()) / "python"
    program = venv / "bin" / "python"
    while program.is_symlink():
        program = program.parent / program.readlink()
        yield program
    yield program.resolve()


def _bind(path: Path, writable: bool) -> list[str]:
    """With its parent folders, which would otherwise be private to the user who creates them."""
    above = [str(folder) for folder in reversed(path.parents)][1:]
    mode = "--bind" if writable else "--ro-bind"
    dirs = [word for folder in above for word in ("--dir", folder)]
    return [*dirs, mode, str(path.resolve()), str(path)]


def _depth(bind: tuple[Path, bool]) -> tuple[int, str, bool]:
    """Folders before their contents, and read-only before writable."""
    path, writable = bind
    return len(path.parts), str(path), writable


@functools.cache
def _version() -> tuple[int, ...]:
    done = subprocess.run(
        ["bwrap", "--version"], capture_output=True, text=True, timeout=PROBE_S, check=False
    )
    return tuple(int(number) for number in re.findall(r"\d+", done.stdout)[:2])
