"""The kernel's rule that runs arm64 programs through qemu: registered for the lab, and removed.

The interpreter is opened once, at registration (flag F), so that it works inside any root.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import StepFailed

FOLDER: Final = Path("/proc/sys/fs/binfmt_misc")
NAME: Final = "qemu-aarch64"
INTERPRETERS: Final = (
    Path("/usr/libexec/qemu-binfmt/aarch64-binfmt-P"),  # Debian: keeps argv[0], hence P
    Path("/usr/bin/qemu-aarch64-static"),
)
#: the first 20 bytes of an arm64 ELF program, and which of their bits count
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


@dataclass(frozen=True)
class Changed:
    """What was changed on this machine, for `undo`."""

    mounted: bool
    registered: bool


def missing() -> str | None:
    """What is missing to run arm64 programs here; None if nothing."""
    if (FOLDER / NAME).is_file() or interpreter() is not None:
        return None
    return "qemu-aarch64-static not found"


def interpreter() -> Path | None:
    """The static qemu for arm64 programs."""
    return next((path for path in INTERPRETERS if path.is_file()), None)


def ensure() -> Changed:
    """Enable arm64 programs. Raises StepFailed if the kernel refuses."""
    mounted = not (FOLDER / "register").exists()
    if mounted:
        _mount()
    if (entry := FOLDER / NAME).is_file():
        _check(entry.read_text())
        return Changed(mounted, False)
    program = interpreter()
    assert program is not None, "`missing` has said so"
    flags = "OPF" if program.name.endswith("-P") else "OF"
    try:
        (FOLDER / "register").write_text(f":{NAME}:M::{_MAGIC}:{_MASK}:{program}:{flags}")
    except OSError as error:
        raise StepFailed(
            f"cannot register arm64 programs with the kernel: {error.strerror}",
            "Run the container with --privileged, or register qemu on the host.",
        ) from error
    return Changed(mounted, True)


def undo(changed: Changed) -> None:
    """Restore the kernel. Running arm64 programs continue."""
    entry = FOLDER / NAME
    if changed.registered and entry.is_file():
        entry.write_text("-1")
    if changed.mounted and (FOLDER / "register").exists():
        subprocess.run(["umount", str(FOLDER)], check=False, stderr=subprocess.DEVNULL)


def _mount() -> None:
    done = subprocess.run(
        ["mount", "-t", "binfmt_misc", "binfmt_misc", str(FOLDER)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepFailed(
            f"cannot mount binfmt_misc: {done.stderr.strip()}",
            "Run as root, after `modprobe binfmt_misc`.",
        )


def _check(entry: str) -> None:
    flags = next((line for line in entry.splitlines() if line.startswith("flags:")), "")
    if "enabled" not in entry.splitlines() or "F" not in flags.partition(":")[2]:
        raise StepFailed(
            f"{NAME} is registered with the kernel, but without the flag F",
            f"Register it with the flag F, or remove it with `echo -1 > {FOLDER / NAME}`.",
        )
