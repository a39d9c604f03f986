"""Runs the tools that build a bundle; their output goes to the log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..containers.output import JobOutput, follow
from ..errors import StepFailed


def run(
    argv: Sequence[str],
    output: JobOutput,
    cwd: Path,
    failed: tuple[str, str],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run to the end. Raises StepFailed with `failed`, a message and a hint, and the last lines."""
    message, hint = failed
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError:
        raise StepFailed(f"{message}: {argv[0]} not found", hint) from None
    with process:
        code = follow(process, output)
    if code:
        raise StepFailed(f"{message}:\n{output.last_lines()}", hint)
