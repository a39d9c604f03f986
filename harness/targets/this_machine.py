"""This machine while it is measured: by one run at a time, of any user, also over SSH.

Processes of this machine exclude each other with a lock file, which a crash releases at once; other
machines are excluded by a claim next to it, as on any device (`ondevice.lease`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from .. import locks
from ..errors import BenchError, StepFailed
from ..kinds import LEASES
from ..ondevice import lease
from ..transports import Transport

LOCK: Final = "machine.lock"
#: all users may write, and each removes only files of its own
SHARED_MODE: Final = 0o1777
#: how often another machine's lease is checked again
LOOK_S: Final = 5.0


class ThisMachine:
    """The right to measure on this machine; acquired on first use, held until released."""

    def __init__(self, run_id: str = "") -> None:
        self._run_id = run_id
        self._open = ExitStack()
        self._lock: locks.FileLock | None = None
        self._lease: lease.Lease | None = None

    def claim(self, transport: Transport, on_wait: Callable[[str], None]) -> None:
        """Wait until no other run measures here. Raises BenchError if that is unknown."""
        if self._lock and not self._lock.stands():
            self.release()
        if self._lease is None:
            self._take(transport, on_wait)
        assert self._lease
        try:
            self._lease.confirm()
        except StepFailed:
            self.release()
            self._take(transport, on_wait)

    def why_unsure(self, since: float) -> str | None:
        """See `target.Target`."""
        if self._lock and not self._lock.stands():
            return f"the lease was lost: {self._lock.path} was removed"
        return self._lease.why_unsure(since) if self._lease else None

    def release(self) -> None:
        """Let other runs measure; does nothing without a claim."""
        self._lock = self._lease = None
        opened, self._open = self._open, ExitStack()
        try:
            opened.close()
        except StepFailed:
            return  # lost before: `why_unsure` has reported it for each trial

    def _take(self, transport: Transport, on_wait: Callable[[str], None]) -> None:
        """The lock first: only its holder tries for the claim."""
        doing = f"run {self._run_id}" if self._run_id else ""
        lock = locks.held(
            shared_folder() / LOCK, "this machine", doing, on_wait=on_wait, mode=0o666
        )
        try:
            self._lock = self._open.enter_context(lock)
            self._lease = self._claimed(transport, on_wait)
        except BaseException:
            self.release()
            raise

    def _claimed(self, transport: Transport, on_wait: Callable[[str], None]) -> lease.Lease:
        owner, told = lease.owner(self._run_id), ""
        while True:
            claim = lease.hold(transport, "", owner, shared=LEASES, local=True)
            try:
                return self._open.enter_context(claim)
            except lease.InUse as error:
                if error.holder.owner != told:
                    told = error.holder.owner
                    on_wait(error.message)
            time.sleep(LOOK_S)


def shared_folder() -> Path:
    """The folder for locks and claims of all users of this machine, created if missing.

    Raises BenchError for a folder in which users could remove each other's files.
    """
    folder = Path(os.environ.get("BENCH_LEASES") or LEASES)
    hint = "Set BENCH_LEASES to a folder of mode 1777 that all users of this machine use."
    try:
        folder.mkdir(exist_ok=True)
        mode = _mode_of(folder)
    except OSError as error:
        raise BenchError(f"{folder}: {error.strerror}", hint) from None
    if mode & SHARED_MODE != SHARED_MODE:
        raise BenchError(f"{folder}: not a folder that all users may write to", hint)
    return folder


def _mode_of(folder: Path) -> int:
    """Give all users access if the folder is this user's own; never through a link."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid == os.getuid():
            os.fchmod(descriptor, SHARED_MODE)
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
