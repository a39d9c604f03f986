"""Platforms that images are built for, and whether this machine runs the programs of one."""

from __future__ import annotations

import platform as machine
from pathlib import Path
from typing import Final

from ..errors import StepFailed, UsageError

PLATFORMS: Final = ("linux/amd64", "linux/arm64")
#: the kernel's and the engines' names of a processor -> Docker's
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
#: of each processor, the ELF header's field `e_machine` in hex
ELF_MACHINES: Final = {"amd64": "3e00", "arm64": "b700"}
EMULATORS: Final = Path("/proc/sys/fs/binfmt_misc")
INSTALL_EMULATION: Final = "Run `sudo apt-get install qemu-user-static binfmt-support`."


def of_processor(name: str) -> str:
    """`linux/<architecture>` from what `uname -m` or a daemon says."""
    return f"linux/{ARCHITECTURES.get(name, name)}"


def of_host() -> str:
    """This machine's."""
    return of_processor(machine.machine())


def architecture(platform: str) -> str:
    """Its part after the slash."""
    return platform.rpartition("/")[2]


def check(platform: str) -> None:
    """Raise UsageError for an unsupported platform."""
    if platform not in PLATFORMS:
        raise UsageError(f"unknown platform {platform}, expected one of {', '.join(PLATFORMS)}")


def cannot_run(platform: str) -> StepFailed:
    """The error of a machine that does not run a platform's programs."""
    text = f"this machine cannot run {platform} programs: no emulator registered"
    return StepFailed(text, INSTALL_EMULATION)


def need_emulator(platform: str, registered: Path = EMULATORS) -> None:
    """Raise StepFailed where the kernel runs no programs of a platform that is not the host's."""
    if platform == of_host():
        return
    machines = {_machine_of(path) for path in registered.glob("*") if path.is_file()}
    if ELF_MACHINES[architecture(platform)] not in machines:
        raise cannot_run(platform)


def _machine_of(entry: Path) -> str:
    """The `e_machine` that an enabled entry of binfmt_misc is for; empty for every other."""
    lines = entry.read_text("utf-8", "replace").splitlines() if entry.name != "register" else []
    magic = next((line.removeprefix("magic ") for line in lines if line.startswith("magic ")), "")
    is_elf = magic.startswith("7f454c46") and "enabled" in lines
    return magic[36:40] if is_elf else ""
