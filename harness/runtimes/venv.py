"""A virtual environment on a host or a Mac with Python but no Docker, from the lock's wheels.

The packages are fetched and unpacked here, and transferred as one archive; there, the device's own
Python creates an environment around them, which needs neither pip nor a network on the device.
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
from ..cache import digest, get_or_create
from ..containers import EngineName
from ..containers.output import to_file
from ..errors import StepFailed, UsageError
from ..kinds.scripts import MACOS_PYTHONS
from ..ondevice import store
from ..records import DeviceFacts, Image
from ..serial import dumps, loads
from ..transports import Transport
from . import DeviceMount, OnLine, RuntimeRequest, running

CHECK_S: Final = 300.0
MB: Final = 1_000_000
#: minor version of the glibc that a host has at least: Ubuntu 20.04, JetPack 5
GLIBC: Final = 31
#: names of Mac processors
MACOS: Final = ("arm64", "x86_64")
#: environment, Python's minor version, its words…: makes it where it is not there, by a Python of
#: that version for this machine, then runs it. The one in macOS's own /usr/bin comes last
CHECK: Final = f"""\
cd "$1" || exit 1
wanted=$2; shift 2
asked='import platform, sys; print("%d.%d" % sys.version_info[:2], platform.machine())'
for name in "python$wanted" python3; do
  for folder in {MACOS_PYTHONS} ""; do
    [ ! -x bin/python ] || break
    p=${{folder:+$folder/}}$name
    [ "$("$p" -c "$asked" 2>/dev/null </dev/null)" = "$wanted $(uname -m)" ] || continue
    "$p" -m venv --without-pip . || exit 1
  done
done
[ -x bin/python ] || {{ echo "no Python $wanted for $(uname -m)" >&2; exit 1; }}
exec env -u PYTHONPATH -u PYTHONHOME bin/python -s "$@"
"""


@dataclass(frozen=True)
class _Packed:
    """`made.json`, next to an archive."""

    sha256: str
    unpacked_bytes: int


@dataclass(frozen=True)
class InstalledVenv:
    """See `InstalledRuntime`; `tree` is the environment on the device."""

    image: Image
    tree: PurePosixPath
    #: whether the device can limit a process's memory from outside
    limits: bool = True

    def seen(self, there: DeviceMount) -> str:
        """The path on the device: nothing is mounted."""
        return str(there.path)

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[DeviceMount],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        """The runner pins itself to CPUs; the memory limit makes an allocation fail."""
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
        return f"environments require a host with Python; this is {facts.kind}"
    if facts.python is None:
        return "the device has no Python 3.8 or newer"
    if facts.kind == "macos":
        known = " and ".join(MACOS)
        return None if facts.arch in MACOS else f"wheels are for {known}, not {facts.arch}"
    if facts.libc not in (None, "glibc"):
        return f"the locked wheels require glibc; the device has {facts.libc}"
    if facts.arch not in listing.ARCHITECTURES:
        return f"wheels support {' and '.join(listing.ARCHITECTURES)}, not {facts.arch}"
    return None


def why_not(image: str, facts: DeviceFacts, engine: EngineName) -> str | None:
    """See `Provide`."""
    if missing := lacks(facts):
        return missing
    try:
        contents = listing.read(image)
    except (StepFailed, UsageError) as error:
        return error.message
    if refused := contents.why_not(*_names(facts)):
        return f"{image}: {refused}"
    if facts.kind == "macos" and _release(facts)[0] < contents.macos:
        return f"the lock of {image} requires macOS {contents.macos}; this is {facts.os}"
    if _python(facts, contents) is None:
        known, there = ", ".join(contents.pythons), ", ".join(map(_short, _pythons(facts)))
        return f"the lock of {image} requires Python {known}; the device has {there}"
    return None


def _names(facts: DeviceFacts) -> tuple[str, ...]:
    """The names of its platform in `bundle.in`."""
    return ("macos", f"macos-{facts.arch}") if facts.kind == "macos" else (facts.arch,)


def _release(facts: DeviceFacts) -> tuple[int, int]:
    """14, 2 of `macOS 14.2.1`; an unknown release counts as new."""
    found = re.search(r"\b(\d{1,2})(?:\.(\d{1,2}))?\b", facts.os, re.ASCII)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def _pythons(facts: DeviceFacts) -> tuple[str, ...]:
    return facts.pythons or ((facts.python,) if facts.python else ())


def _python(facts: DeviceFacts, contents: listing.Contents) -> str | None:
    """`3.11`: the device's first Python that the lock has wheels for."""
    return next((v for v in map(_short, _pythons(facts)) if v in contents.pythons), None)


def _platform(facts: DeviceFacts) -> wheels.Platform:
    if facts.kind == "macos":
        return wheels.macos(facts.arch, _release(facts))
    return wheels.linux(facts.arch, GLIBC)


def provide(
    transport: Transport, wanted: RuntimeRequest, on_line: OnLine | None = None
) -> InstalledVenv:
    """See `Provide`; tested by importing the runtime."""
    began = time.monotonic()
    if reason := why_not(wanted.name, wanted.facts, wanted.engine.name):
        raise StepFailed(f"{transport.name}: {reason}")
    contents = listing.read(wanted.name)
    python = _python(wanted.facts, contents) or ""
    folder, packed, cached = _packages(wanted, contents, python, on_line)
    key = f"venv-{packed.sha256}"
    quota = wanted.device.storage_mb * MB
    archive = folder / "packages.tar.gz"
    placed = store.put_archive(
        transport, wanted.workdir, archive, key, packed.unpacked_bytes, quota, on_line
    )
    words = (str(placed.path), python, "-c", f"import numpy, {contents.module}")
    done = transport.run(("sh", "-c", CHECK, "sh", *words), timeout_s=CHECK_S)
    if done.exit_code:
        store.remove(transport, wanted.workdir, (key,))
        raise StepFailed(
            f"{transport.name}: the environment of {wanted.name} does not work: "
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
        "none",
    )
    return InstalledVenv(image, placed.path, limits=wanted.facts.kind != "macos")


def _packages(
    wanted: RuntimeRequest, contents: listing.Contents, python: str, on_line: OnLine | None
) -> tuple[Path, _Packed, bool]:
    """The folder with the archive, its contents, and whether it was cached."""
    platform = _platform(wanted.facts)

    def fill(part: Path) -> None:
        work, tree = part / "work", part / "tree"
        work.mkdir()
        with to_file(wanted.log, on_line) as output:
            found = wheels.fetch(contents, platform, python, work, output)
        wheels.unpack(found, tree / "lib" / f"python{python}" / "site-packages")
        done = _Packed(*pack.pack(tree, part / "packages.tar.gz"))
        (part / "made.json").write_text(dumps(done), "utf-8")
        shutil.rmtree(work)
        shutil.rmtree(tree)

    key = digest(contents.lock, platform.tags, python)
    folder, cached = get_or_create(wanted.cache, "device-venvs", key, fill)
    return folder, loads(_Packed, (folder / "made.json").read_bytes(), "made.json"), cached


def _short(version: str) -> str:
    """`3.11` of `3.11.2`."""
    found = re.match(r"\d{1,3}\.\d{1,3}", version, re.ASCII)
    return found[0] if found else "unknown"
