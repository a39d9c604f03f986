"""A device at the other end of a connection that runs shell commands; ssh and adb are both that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..untrusted.budget import USUAL, Budget
from . import Completed, OnLine, Transfer
from .channel import Connection
from .execute import execute
from .pull import pull
from .push import push


class RemoteTransport:
    """See `Transport`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def name(self) -> str:
        return self._connection.name

    def push(self, local: Path, remote: PurePosixPath) -> Transfer:
        return push(self._connection, local, remote)

    def pull(self, remote: PurePosixPath, local: Path, budget: Budget = USUAL) -> Transfer:
        return pull(self._connection, remote, local, budget)

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        return execute(self._connection, argv, timeout_s, on_line)

    def close(self) -> None:
        self._connection.close()
