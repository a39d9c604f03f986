"""An environment on a Linux host with Python and no Docker, from the lock's wheels.

The packages are fetched and unpacked here, and travel as one archive; there, the device's own
Python makes an environment around them, which needs neither pip nor a network on the device.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ..bundling import contents as listing
from ..bundling import pack, wheels
from ..cache import digest, made
from ..containers.output import to_file
from ..errors import StepFailed, UsageError
from ..ondevice import store
from ..records import DeviceFacts, Image
from ..serial import dumps, loads
from ..transports import Transport
from . import OnLine, There, Wanted, running

CHECK_S: Final = 300.0
MB: Final = 1_000_000
#: minor version of the glibc that a host has at least: Ubuntu 20.04, JetPack 5
GLIBC: Final = 31
#: environment, words of Python…: makes it where it is not there, then runs its Python
CHECK: Final = """\
cd "$1" || exit 1
shift
[ -x bin/python ] || python3 -m venv --without-pip . || exit 1
exec env -u PYTHONPATH -u PYTHONHOME bin/python -s "$@"
"""


@dataclass(frozen=True)
class _Packed:
    """`made.json`, beside an archive."""

    sha256: str
    unpacked_bytes: int


@dataclass(frozen=True)
class VenvReady:
    """See `Ready`; `tree` is the environment on the device."""

    image: Image
    tree: PurePosixPath
    #: whether the device can limit a process's memory from outside
    limits: bool = True

    def seen(self, there: There) -> str:
        """The path on the device: nothing is mounted."""
        return str(there.path)

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[There],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        """The runner sets its CPUs itself; memory is a limit on data: an allocation fails."""
        fixed = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"}
        own = running.assignments({**fixed, **running.folders(mounts), **env})
        limit = (
            ("prlimit", f"--data={memory_bytes}", "--core=0")
            if memory_bytes and self.limits
            else ()
        )
        return ("env", "-u", "PYTHONHOME", *own, *limit, str(self.tree / "bin/python"), *argv)


def lacks(facts: DeviceFacts) -> str | None:
    """See `Provide`."""
    if facts.kind not in ("linux", "jetson", "macos"):
        return f"environments are for hosts with a Python of their own, and this is {facts.kind}"
    if facts.python is None:
        return "the device has no Python 3.8 or newer"
    if facts.kind != "macos" and facts.libc not in (None, "glibc"):
        return f"the wheels of the lock need glibc, and the device has {facts.libc}"
    return None


def why_not(wanted: Wanted) -> str | None:
    """See `Provide`."""
    facts = wanted.facts
    if (missing := lacks(facts)) or facts.python is None:
        return missing
    try:
        contents = listing.read(wanted.name)
    except (StepFailed, UsageError) as error:
        return error.message
    if facts.arch in contents.refused:
        return f"{wanted.name}: {contents.refused[facts.arch]}"
    python = _short(facts.python)
    if python not in contents.pythons:
        known = ", ".join(contents.pythons)
        return f"the lock of {wanted.name} is for Python {known}, and the device has {python}"
    return None


def provide(on: Transport, wanted: Wanted, on_line: OnLine | None = None) -> VenvReady:
    """See `Provide`; the environment has imported its runtime there."""
    began = time.monotonic()
    if reason := why_not(wanted):
        raise StepFailed(f"{on.name}: {reason}")
    contents = listing.read(wanted.name)
    folder, packed, cached = _packages(wanted, contents, on_line)
    key = f"venv-{packed.sha256}"
    quota = wanted.device.storage_mb * MB
    archive = folder / "packages.tar.gz"
    placed = store.put_archive(
        on, wanted.workdir, archive, key, packed.unpacked_bytes, quota, on_line
    )
    argv = ("sh", "-c", CHECK, "sh", str(placed.path), "-c", f"import numpy, {contents.module}")
    done = on.run(argv, timeout_s=CHECK_S)
    if done.exit_code:
        store.remove(on, wanted.workdir, (key,))
        raise StepFailed(
            f"{on.name}: the environment of {wanted.name} does not work there: "
            f"{running.last_line(done)}",
            "Install python3 with its venv module and, on Linux, util-linux.",
        )
    image = Image(
        wanted.name,
        "venv",
        str(placed.path),
        f"sha256:{packed.sha256}",
        cached and not placed.fresh,
        time.monotonic() - began,
    )
    return VenvReady(image, placed.path, limits=wanted.facts.kind != "macos")


def _packages(
    wanted: Wanted, contents: listing.Contents, on_line: OnLine | None
) -> tuple[Path, _Packed, bool]:
    """The folder with the archive, what is in it, and whether it was there."""
    arch, python = wanted.facts.arch, _short(wanted.facts.python or "")
    glibc = 0 if wanted.facts.kind == "macos" else GLIBC

    def fill(part: Path) -> None:
        work, tree = part / "work", part / "tree"
        work.mkdir()
        with to_file(wanted.log, on_line) as output:
            found = wheels.fetch(contents, arch, python, glibc, work, output)
        wheels.unpack(found, tree / "lib" / f"python{python}" / "site-packages")
        done = _Packed(*pack.pack(tree, part / "packages.tar.gz"))
        (part / "made.json").write_text(dumps(done), "utf-8")
        shutil.rmtree(work)
        shutil.rmtree(tree)

    key = digest(contents.lock, arch, python, glibc)
    folder, cached = made(wanted.cache, "device-venvs", key, fill)
    return folder, loads(_Packed, (folder / "made.json").read_bytes(), "made.json"), cached


def _short(version: str) -> str:
    """`3.11` of `3.11.2`."""
    found = re.match(r"\d+\.\d+", version)
    return found[0] if found else version
