"""Decodes image files in a separate process with limited memory and time and no write access.

Whatever a damaged or hostile file does to the decoder affects only that file, as one error line.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..serial import Malformed, parse
from .image_decoding import HINT, MOST_PIXELS, VERSION

__all__ = ["VERSION", "decode", "size_of"]

PROGRAM: Final = "harness.steps.image_process"
#: per image; the largest takes some seconds
DEADLINE_S: Final = 60.0
#: maximum length of an answer before its pixels
LONGEST_ANSWER: Final = 64 << 10
CHUNK_BYTES: Final = 1 << 20


def decode(path: Path, height: int, width: int, about: str = "") -> NDArray[np.uint8]:
    """Pixels (height, width, 3) uint8 RGB of an image that is annotated with this size.

    `about` is added to the message. Raises ConfigError if it is damaged, of another size, of a
    format or pixel type that cannot be taken without a guess, or if decoding it takes too much.
    With 0 x 0, any size is right.
    """
    return _shared.decode(path, height, width, about)


def size_of(path: Path, height: int, width: int, about: str = "") -> tuple[int, int]:
    """Height and width that `decode` will have, by the file's header; raises ConfigError as it."""
    return _shared.size_of(path, height, width, about)


class _Ended(Exception):
    """The process has ended, or is no longer waited for."""


class Decoder:
    """Starts its process on demand, and again when it has ended; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()
        self._until = 0.0

    def size_of(self, path: Path, height: int, width: int, about: str) -> tuple[int, int]:
        with self._lock:
            return self._asked("size", path, (height, width), about)

    def decode(self, path: Path, height: int, width: int, about: str) -> NDArray[np.uint8]:
        with self._lock:
            found = self._asked("decode", path, (height, width), about)
            try:
                pixels = self._exactly(found[0] * found[1] * 3)
            except _Ended as error:
                raise self._failed(path, str(error)) from None
        return np.frombuffer(pixels, np.uint8).reshape(*found, 3)

    def close(self) -> None:
        """End the process; another one is started on demand."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(BrokenPipeError):  # of a request that was never read
                self._process.__exit__(None, None, None)
        self._process = None
        self._buffer.clear()

    def _asked(self, do: str, path: Path, size: tuple[int, int], about: str) -> tuple[int, int]:
        """Height and width. Raises ConfigError."""
        wanted = {"do": do, "path": str(path), "size": size, "about": about}
        try:
            answer = self._answer(json.dumps(wanted).encode() + b"\n")
        except _Ended as error:
            raise self._failed(path, str(error)) from None
        if isinstance(mistakes := answer.get("mistakes"), list) and mistakes:
            raise ConfigError([str(one) for one in mistakes], str(answer.get("hint", "")))
        found = _size(answer.get("size"), size)
        if found is None:
            raise self._failed(path, "invalid answer of the decoder")
        return found

    def _answer(self, request: bytes) -> dict[str, Any]:
        """The answer to a request; sent again if an idle process had ended."""
        self._until = time.monotonic() + DEADLINE_S
        for last in (False, True):
            try:
                self._send(request)
                answer = parse(self._line(), "answer")
                return answer if isinstance(answer, dict) else {}
            except Malformed:
                return {}
            except _Ended:
                idle = self._process is not None and self._process.poll() == 0
                if last or not idle:
                    raise
                self.close()
        raise AssertionError("the second try returns or raises")

    def _send(self, request: bytes) -> None:
        process = self._process = self._process or _start()
        assert process.stdin is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
        except OSError:
            raise _Ended(_why(process)) from None

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_ANSWER:
                raise _Ended("invalid answer of the decoder")
            self._more()
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    def _more(self) -> None:
        """Read some bytes. Raises _Ended at the end and past the deadline."""
        assert self._process is not None
        assert self._process.stdout is not None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        if not poll.poll(max(0.0, self._until - time.monotonic()) * 1e3):
            raise _Ended(f"takes longer than {DEADLINE_S:g} s")
        data = os.read(self._process.stdout.fileno(), CHUNK_BYTES)
        if not data:
            raise _Ended(_why(self._process))
        self._buffer += data

    def _failed(self, path: Path, why: str) -> ConfigError:
        self.close()
        return ConfigError([f"{path}: cannot be decoded: {why}"], HINT)


def _size(found: object, annotated: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width if the image can have them; None for anything else."""
    if not (isinstance(found, list) and len(found) == 2 and all(type(n) is int for n in found)):
        return None
    height, width = found
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        return None
    return (height, width) if annotated in ((0, 0), (height, width)) else None


def _start() -> subprocess.Popen[bytes]:
    """Start the process with an environment that contains only the path of bench."""
    package = Path(__file__).resolve().parents[2]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(package), "LANG": "C.UTF-8", **threads},
        cwd="/",
        start_new_session=True,
    )


def _why(process: subprocess.Popen[bytes]) -> str:
    """Why it ended."""
    try:
        code = process.wait(1.0)
    except subprocess.TimeoutExpired:
        return "the decoder does not answer"
    if code >= 0:
        return f"the decoder ended with exit code {code}"
    return f"the decoder was killed by {signal.Signals(-code).name}"


_shared = Decoder()
atexit.register(_shared.close)
