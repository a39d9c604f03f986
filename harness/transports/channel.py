"""Shared by ssh and adb: a connection with concurrent commands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

#: a transfer that has not moved for so long is a lost device, seconds
STALL_S = 30.0
#: deadline of a whole answer, even if parts of it keep arriving, seconds
WHOLE_S = 600.0


@dataclass(frozen=True)
class CommandOutput:
    """Bytes that a command wrote."""

    data: bytes
    is_error: bool = False


@dataclass(frozen=True)
class Exited:
    """A command's end; nothing follows."""

    code: int


class Channel(Protocol):
    """One command on a device."""

    def send(self, data: bytes) -> None:
        """All of `data` to the command's input.

        Raises BrokenPipeError when the command has ended, DeviceLost when the connection has.
        """
        ...

    def end(self) -> None:
        """No more input; does nothing where `Connection.ends_input` is false."""
        ...

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        """The next event; None when there was none in time. Raises DeviceLost."""
        ...

    def close(self) -> None:
        """Forget the command; it may go on on the device."""
        ...


class Connection(Protocol):
    """A device that runs commands of its shell. Many at once, within the limits of the device."""

    @property
    def name(self) -> str: ...

    @property
    def ends_input(self) -> bool:
        """Whether a command's input can be closed."""
        ...

    @property
    def splits_output(self) -> bool:
        """Whether standard error arrives apart from standard output."""
        ...

    @property
    def longest_command(self) -> int:
        """Bytes of a command that get through."""
        ...

    def open(self, command: str, *, urgent: bool = False) -> Channel:
        """Start a shell command; connects again, once, when the connection has been lost before.

        `urgent` does not wait for other commands to end. Raises DeviceLost.
        """
        ...

    def close(self) -> None: ...


def collect(
    channel: Channel, timeout_s: float = STALL_S, whole_s: float = WHOLE_S
) -> Iterator[CommandOutput | Exited]:
    """Events up to and including the end.

    Raises TimeoutError after `timeout_s` without an event, and if there is no end after `whole_s`.
    """
    until = time.monotonic() + whole_s
    while True:
        event = channel.receive(timeout_s)
        if event is None:
            raise TimeoutError(f"no answer for {timeout_s:g} s")
        yield event
        if isinstance(event, Exited):
            return
        if time.monotonic() > until:
            raise TimeoutError(f"no end of its answer within {whole_s:g} s")
