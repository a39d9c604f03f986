"""The phone's commands: `shell,v2` with packets, plain `exec:` and `shell:` without."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from .adbd_stream import Stream

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = 0, 1, 2, 3, 4
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Shell:
    """How commands are run: `argv` and the command line as its last argument."""

    argv: Sequence[str] = ("/bin/sh", "-c")
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def start(self, command: str, stderr: int) -> subprocess.Popen[bytes]:
        """In a session of its own, as adbd does; no command line means a shell that reads one."""
        argv = [*self.argv, command] if command else [*self.argv[:-1]]
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(self.env),
            start_new_session=True,
            bufsize=0,
        )


def run_plain(stream: Stream, shell: Shell, command: str) -> None:
    """Both outputs as one, no exit code. The command goes on when the host is gone."""
    process = shell.start(command, subprocess.STDOUT)
    assert process.stdin is not None
    assert process.stdout is not None
    feeder = _thread(_feed, stream, process.stdin)
    _copy(process.stdout, stream.write)
    process.wait()
    stream.close()
    feeder.join(5)


def run_v2(stream: Stream, shell: Shell, command: str) -> None:
    """Outputs apart, and the exit code."""
    process = shell.start(command, subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    sending = threading.Lock()

    def send(kind: int, data: bytes) -> None:
        with sending:
            stream.write(bytes([kind]) + len(data).to_bytes(4, "little") + data)

    _thread(_feed_packets, stream, process.stdin)
    errors = _thread(_copy, process.stderr, lambda data: send(STDERR, data))
    _copy(process.stdout, lambda data: send(STDOUT, data))
    errors.join()
    code = process.wait()
    try:
        send(EXIT, bytes([code if code >= 0 else 128 - code]))
        stream.close()
    except OSError:
        pass  # nobody waits for it any more


def _thread(target: Callable[..., None], *args: object) -> threading.Thread:
    made = threading.Thread(target=target, args=args, daemon=True)
    made.start()
    return made


def _copy(output: IO[bytes], write: Callable[[bytes], None]) -> None:
    with output:
        try:
            while data := os.read(output.fileno(), _READ_BYTES):
                write(data)
        except OSError:
            pass  # the host is gone: closing the pipe tells the command when it next writes


def _feed(stream: Stream, pipe: IO[bytes]) -> None:
    with _quiet(pipe):
        while data := stream.read():
            _write_all(pipe, data)


def _feed_packets(stream: Stream, pipe: IO[bytes]) -> None:
    with _quiet(pipe):
        while True:
            try:
                head = stream.exactly(5)
                data = stream.exactly(int.from_bytes(head[1:], "little"))
            except EOFError:
                return
            if head[0] == CLOSE_STDIN:
                break
            if head[0] == STDIN:
                _write_all(pipe, data)
    while stream.read():
        pass


class _quiet:
    """Closes a pipe; a command that does not read its input to the end is no error."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        with contextlib.suppress(OSError):
            self._pipe.close()
        return kind is not None and issubclass(kind, OSError)


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe.fileno(), view) :]
