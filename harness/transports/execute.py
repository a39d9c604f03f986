"""A command on a device: its output as it comes, its deadline, and its certain end."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import DeviceLost, JobTimeout, StepFailed
from ..lines import Lines
from . import Completed, OnLine, scripts
from .channel import STALL_S, Channel, CommandOutput, Connection, Exited, collect
from .failures import lost
from .output import Collected
from .started import start

#: how long a device may take to end what it was told to end, seconds
KILL_S = 10.0
#: by so much the device's own deadline is later than ours, seconds
GRACE_S = 5
#: maximum length of the wrapper's first line, bytes
LONGEST_HEAD = 200
#: maximum answer of one of bench's scripts: the manifest of 500,000 files, bytes
ANSWER_BYTES = 64 << 20

#: exit code, standard output, standard error
Answer = tuple[int, bytes, str]


def execute(
    connection: Connection, argv: Sequence[str], timeout_s: float, on_line: OnLine | None
) -> Completed:
    """See `Transport.run`."""
    began = time.monotonic()
    token = f"bench-{secrets.token_hex(8)}"
    own_deadline = str(math.ceil(timeout_s) + GRACE_S)
    channel = start(connection, scripts.RUN, token, own_deadline, *argv)
    job = _Job(connection, channel, token, Collected(Lines(on_line), Lines(on_line), argv[0]))
    try:
        code = job.follow(time.monotonic() + timeout_s)
    finally:
        job.end()
    if code is None:
        raise JobTimeout(
            f"{argv[0]} on {connection.name} exceeded its deadline of {timeout_s:g} s "
            "and was killed"
        )
    out, err = job.collected.finish()
    return Completed(code, out, err, time.monotonic() - began)


class _Job:
    """One running command; knows its process group as soon as the device has told it."""

    def __init__(
        self, connection: Connection, channel: Channel, token: str, collected: Collected
    ) -> None:
        self.collected = collected
        self._connection, self._channel = connection, channel
        self._token = token.encode()
        self._group: str | None = None
        self._head = b""
        self._over = False

    def follow(self, until: float) -> int | None:
        """The exit code; None at the deadline."""
        while (left_s := until - time.monotonic()) > 0:
            event = self._receive(left_s)
            if isinstance(event, Exited):
                return event.code
            if event is not None:
                self._take(event)
        return None

    def end(self) -> None:
        """Kill what still runs. Raises DeviceLost when the device does not answer to that."""
        try:
            if not self._over and self._group is not None:
                self._kill(self._group)
        finally:
            self._channel.close()

    def _kill(self, group: str) -> None:
        try:
            _kill(self._connection, group)
        except StepFailed:  # no room for a second session: the device's own deadline comes next
            until = time.monotonic() + GRACE_S + KILL_S
            while not self._over and (left_s := until - time.monotonic()) > 0:
                self._receive(left_s)
            if not self._over:
                raise

    def _receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        try:
            event = self._channel.receive(timeout_s)
        except DeviceLost:
            self._over = True  # nobody there who could be told to kill it; its own deadline will
            raise
        self._over = isinstance(event, Exited)
        return event

    def _take(self, output: CommandOutput) -> None:
        """Output goes on; the first line of the wrapper's stays here."""
        wanted = output.is_error or not self._connection.splits_output
        if self._group is not None or not wanted:
            self.collected.add(output.data, is_error=output.is_error)
            return
        self._head += output.data
        line, newline, rest = self._head.partition(b"\n")
        if newline or len(line) > LONGEST_HEAD:
            word, _, number = line.partition(b" ")
            self._group = number.decode("ascii", "replace").strip() if word == self._token else ""
            data = rest if self._group else self._head
            self.collected.add(data, is_error=output.is_error)


def _kill(connection: Connection, group: str) -> None:
    """Through a second channel, since the first one only carries output."""
    if not group.isdigit():
        return
    channel = start(connection, scripts.KILL, group, urgent=True)
    try:
        for _ in collect(channel, KILL_S, KILL_S):
            pass
    except TimeoutError as error:
        raise lost(connection.name, "while stopping a command", str(error)) from error
    finally:
        channel.close()


def ask(connection: Connection, script: str, *arguments: str) -> Answer:
    """Exit code, standard output, standard error of a short script. Raises DeviceLost."""
    with asking(connection, script, *arguments) as answer:
        return answer()


@contextmanager
def asking(connection: Connection, script: str, *arguments: str) -> Iterator[Callable[[], Answer]]:
    """`ask` in two halves: the device works on it until the inside wants the answer."""
    channel = start(connection, script, *arguments)
    try:
        yield lambda: finish(connection, channel, "while querying files")
    finally:
        channel.close()


def finish(
    connection: Connection, channel: Channel, doing: str, patience_s: float = STALL_S
) -> Answer:
    """Everything that a command prints. Raises DeviceLost, also if it does not end."""
    out, err = bytearray(), bytearray()
    try:
        for event in collect(channel, patience_s):
            if isinstance(event, Exited):
                return event.code, bytes(out), err.decode("utf-8", "backslashreplace")
            (err if event.is_error else out).extend(event.data)
            if len(out) + len(err) > ANSWER_BYTES:
                raise lost(connection.name, doing, f"answer of over {ANSWER_BYTES >> 20} MB")
    except TimeoutError as error:
        raise lost(connection.name, doing, str(error)) from error
    raise AssertionError("collect ends with the exit")
