"""Shared by command lines on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import printable
from ..transports import Completed
from . import DeviceMount


def folders(mounts: Sequence[DeviceMount]) -> dict[str, str]:
    """Home and temporary files in the job's folder, the only writable one."""
    own = next((str(mount.path) for mount in mounts if mount.writable), None)
    return {"HOME": own, "TMPDIR": own} if own else {}


def assignments(env: Mapping[str, str]) -> tuple[str, ...]:
    """Arguments of `env`."""
    return tuple(f"{name}={value}" for name, value in env.items())


def last_line(done: Completed) -> str:
    """The last line of a failed command's output."""
    said = printable.last_line(done.stderr or done.stdout)
    return said or f"exit code {done.exit_code}, no output"
