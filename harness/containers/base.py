"""The base image's files, built by debootstrap without an image registry. Does not use docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import StepFailed
from ..workspace import cache_root
from .output import JobOutput, follow
from .platforms import architecture, need_emulator

SUITE: Final = "bookworm"
#: what an image needs nothing of: devices are Docker's, the rest apt makes again
LEFT_OUT: Final = ("./dev/", "./var/cache/apt/", "./var/lib/apt/lists/", "./var/log/", "./tmp/")
ELSEWHERE: Final = "or set another image in BENCH_BASE_IMAGE (see docs/containers.md)."


@contextmanager
def root_tar(packages: Path, output: JobOutput, platform: str | None = None) -> Iterator[Path]:
    """A tar of a small Debian with the packages of a file, one a line; removed afterwards.

    Takes about 75 s, and several minutes for another platform than this machine's. Raises
    StepFailed where debootstrap is missing or fails, without root, or without an emulator.
    """
    _check()
    if platform:
        need_emulator(platform)
    cache_root().mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="base-", dir=cache_root()))
    try:
        _debootstrap(work / "root", _words(packages), output, platform)
        yield _pack(work / "root", work / "root.tar")
    finally:
        _unmount(work)
        shutil.rmtree(work)


def _check() -> None:
    if shutil.which("debootstrap") is None:
        raise StepFailed(
            "cannot build the base image: debootstrap not found",
            f"Install it with `apt-get install debootstrap`, {ELSEWHERE}",
        )
    if os.geteuid() != 0:
        raise StepFailed(
            "cannot build the base image: debootstrap requires root",
            f"Run `sudo bench images base`, {ELSEWHERE}",
        )


def _debootstrap(root: Path, packages: list[str], output: JobOutput, platform: str | None) -> None:
    arch = [f"--arch={architecture(platform)}"] if platform else []
    include = f"--include={','.join(packages)}"
    argv = ["debootstrap", "--variant=minbase", *arch, include, SUITE, str(root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        code = follow(process, output)
    if code:
        raise StepFailed(
            f"debootstrap failed with exit code {code}:\n{output.last_lines()}",
            f"Check that apt can reach a Debian mirror, {ELSEWHERE}",
        )


def _pack(root: Path, tar: Path) -> Path:
    def keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if entry.name.startswith(LEFT_OUT) else entry

    with tarfile.open(tar, "w") as archive:
        archive.add(root, ".", filter=keep)
    return tar


def _words(packages: Path) -> list[str]:
    lines = packages.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _unmount(work: Path) -> None:
    """An interrupted debootstrap leaves /proc mounted, and nothing may be deleted through it."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(mounts):
        if point.startswith(f"{work}/"):
            subprocess.run(["umount", point], check=True)
