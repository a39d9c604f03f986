"""What command lines on a device have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..transports import Completed
from . import DeviceMount


def folders(mounts: Sequence[DeviceMount]) -> dict[str, str]:
    """Home and temporary files in the job's folder: the one that it may write."""
    own = next((str(mount.path) for mount in mounts if mount.writable), None)
    return {"HOME": own, "TMPDIR": own} if own else {}


def assignments(env: Mapping[str, str]) -> tuple[str, ...]:
    """Arguments of `env`."""
    return tuple(f"{name}={value}" for name, value in env.items())


def last_line(done: Completed) -> str:
    """What a failed command said last."""
    lines = (done.stderr or done.stdout).decode("utf-8", "backslashreplace").strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {done.exit_code}, without a word"
