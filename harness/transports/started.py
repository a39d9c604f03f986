"""Starts scripts on a device, whatever its login shell prints before or instead of them.

A `.bashrc` or `config.fish` may print; so each script begins its outputs with a line of its own,
and earlier output is discarded.
"""

from __future__ import annotations

import os
import secrets
import shlex
import time
from collections.abc import Sequence

from ..errors import StepFailed
from ..printable import last_line
from . import scripts
from .channel import Channel, CommandOutput, Connection, Exited

#: so much of what the login shell says is kept for the error message, bytes
_KEPT_BYTES = 1 << 16


def start(connection: Connection, script: str, *arguments: str, urgent: bool = False) -> Channel:
    """A channel to the script, in a POSIX shell. Raises StepFailed, DeviceLost."""
    check(connection.name, arguments)
    mark = f"bench-{secrets.token_hex(8)}"
    line = scripts.command(_marked(script, mark), *arguments)
    if len(line) > connection.longest_command:
        raise StepFailed(
            f"{connection.name}: the command has {len(line):,} bytes, at most "
            f"{connection.longest_command:,} are supported",
            "Write the arguments to a file and push that.",
        )
    return _Started(connection, connection.open(line, urgent=urgent), mark)


def check(name: str, arguments: Sequence[str]) -> None:
    """Raises StepFailed for what no command line can have."""
    for argument in arguments:
        try:
            data = os.fsencode(argument)
        except UnicodeEncodeError:
            data = b"\0"
        if b"\0" in data:
            raise StepFailed(
                f"{name}: invalid argument {argument!r} for a command line",
                "Pass it in a file.",
            )


def _marked(script: str, mark: str) -> str:
    say = f"printf '\\n%s\\n' {shlex.quote(mark)}"
    return f"{say}; {say} >&2\n{script}"


class _Started:
    """See `channel.Channel`; only what the script writes is received."""

    def __init__(self, connection: Connection, channel: Channel, mark: str) -> None:
        self._name, self._channel = connection.name, channel
        self._mark = f"\n{mark}\n".encode()
        #: marks that are still to come in each output; both are in one where they are not split
        self._missing = {False: 1, True: 1} if connection.splits_output else {False: 2, True: 0}
        self._before = {False: b"", True: b""}

    def send(self, data: bytes) -> None:
        self._channel.send(data)

    def end(self) -> None:
        self._channel.end()

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        until = time.monotonic() + timeout_s
        while True:
            event = self._channel.receive(max(0.0, until - time.monotonic()))
            if isinstance(event, Exited):
                self._check_started(event)
            if not isinstance(event, CommandOutput) or not self._missing[event.is_error]:
                return event
            if rest := self._after_mark(event):
                return CommandOutput(rest, event.is_error)
            if time.monotonic() >= until:
                return None

    def close(self) -> None:
        self._channel.close()

    def _after_mark(self, event: CommandOutput) -> bytes:
        seen = self._before[event.is_error] + event.data
        while self._missing[event.is_error] and self._mark in seen:
            _, _, seen = seen.partition(self._mark)
            self._missing[event.is_error] -= 1
        if not self._missing[event.is_error]:
            return seen
        self._before[event.is_error] = seen[-_KEPT_BYTES:]
        return b""

    def _check_started(self, end: Exited) -> None:
        """Raises StepFailed when the script has not begun: the login shell is no such one."""
        if not self._missing[False]:
            return
        said = last_line(self._before[True] + self._before[False])
        raise StepFailed(
            f"{self._name}: the login shell does not run commands: "
            f"{said or f'exit code {end.code}'}",
            "Set a POSIX login shell with `chsh -s /bin/sh`.",
        )
