"""Decodes images for `image_files`: JSON requests in, one JSON answer per line out, then pixels.

A separate process, which drops its privileges before it reads anything untrusted. It ends by itself
when idle.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..errors import ConfigError
from . import image_decoding

#: the largest image, its copies in other modes, and the libraries
MEMORY_BYTES: Final = 4 << 30
#: in the life of the process, seconds of CPU time
CPU_S: Final = 24 * 3600
#: ends after being idle for so long
IDLE_S: Final = 10.0
LIMITS: Final = {
    resource.RLIMIT_DATA: MEMORY_BYTES,
    resource.RLIMIT_AS: 2 * MEMORY_BYTES,
    resource.RLIMIT_CPU: CPU_S,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 64,
    resource.RLIMIT_NPROC: 0,
}
NO_NEW_PRIVS: Final = 38


def main() -> None:
    """Answer requests until the input ends or is idle."""
    image_decoding.formats()
    confine()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while select.select([requests], [], [], IDLE_S)[0]:
        line = requests.readline()
        if not line:
            return
        answer(json.loads(line), answers)
        answers.flush()


def confine() -> None:
    """No files, no programs, no new privileges, limited memory; unsupported limits are skipped.

    Root can start programs in spite of the limit.
    """
    for limit, most in LIMITS.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o077)


def answer(request: dict[str, Any], answers: BinaryIO) -> None:
    """Answer one request."""
    arguments = (Path(request["path"]), *request["size"], request["about"])
    try:
        if request["do"] == "size":
            _say(answers, {"size": image_decoding.size_of(*arguments)})
            return
        pixels = image_decoding.decode(*arguments)
    except ConfigError as error:
        _say(answers, {"mistakes": error.mistakes, "hint": error.hint})
        return
    _say(answers, {"size": pixels.shape[:2]})
    answers.write(pixels.tobytes())


def _say(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
