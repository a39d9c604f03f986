"""How files and commands get to a device and back: local, ssh, adb. Knows nothing of models.

All of them satisfy `Transport`, and tests/contract/test_transports.py holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from ..errors import UsageError
from ..untrusted.budget import USUAL, Budget

OnLine = Callable[[str], None]
#: maximum of an answer that is read; bench's scripts print far less
TEXT_BYTES: Final = 256 << 10


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself.

    A device whose adb has no shell v2 cannot tell the two outputs apart: all is in `stdout` there.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text, at most TEXT_BYTES; invalid UTF-8 is shown with backslashes."""
        return self.stdout[:TEXT_BYTES].decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Transfer:
    """What a push or pull transferred: nothing if everything existed."""

    files: int
    sent_bytes: int
    seconds: float


class Transport(Protocol):
    """One device. Thread-safe; concurrency is limited by the device."""

    @property
    def name(self) -> str:
        """The device's name, as messages say it."""
        ...

    def push(self, local: Path, remote: PurePosixPath) -> Transfer:
        """Make `remote` the file or folder `local`; parents are made, a folder's other files stay.

        A file appears whole or not at all, and so does a new folder. What is there already, as
        this pushed it and untouched since, is not sent again.
        Raises StepFailed (no such file, permission denied, disk full), DeviceLost.
        """
        ...

    def pull(self, remote: PurePosixPath, local: Path, budget: Budget = USUAL) -> Transfer:
        """Make `local` the device's file or folder, whole or not at all.

        Only regular files, and folders of them, within the budget. Raises StepFailed (any other
        type of file, missing, permission denied, disk full), JobTimeout, DeviceLost.
        """
        ...

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        """Run a command with these very arguments and no input; nothing of it is left running.

        `on_line` gets each line of both outputs when it is there. A non-zero exit is returned.
        Raises JobTimeout past `timeout_s`, StepFailed for too much output, DeviceLost.
        """
        ...

    def close(self) -> None:
        """End the connection; safe to call twice."""
        ...


class Addressed(Protocol):
    """What of a device's file a transport needs; `records.DeviceSpec` has it."""

    @property
    def name(self) -> str: ...
    @property
    def transport(self) -> str: ...
    @property
    def address(self) -> str: ...


Connect = Callable[[Addressed], Transport]


def _local() -> Connect:
    from .local import connect

    return connect


def _ssh() -> Connect:
    from .ssh import connect

    return connect


def _adb() -> Connect:
    from .adb import connect

    return connect


#: transport -> what imports its `connect`, when it is first used
REGISTRY: Final[dict[str, Callable[[], Connect]]] = {"local": _local, "ssh": _ssh, "adb": _adb}


def connect(target: Addressed) -> Transport:
    """The device, connected and authorised.

    Raises UsageError for an invalid address or transport, StepFailed for a key, password or
    host key that is not accepted, DeviceLost without an answer.
    """
    if target.transport not in REGISTRY:
        known = ", ".join(REGISTRY)
        raise UsageError(
            f"{target.name}: unknown transport '{target.transport}', expected one of {known}"
        )
    return REGISTRY[target.transport]()(target)
