"""Makes a virtual environment from an image's lock. Only `venv` calls this."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from ..errors import StepFailed
from .output import JobOutput, follow
from .recipe import Recipe, pip_settings, uv_settings

#: the locks are for it
PYTHON: Final = "python3.11"
#: written last: a folder without it is a build that was interrupted
COMPLETE: Final = "complete"
UV: Final = {
    "UV_NO_CONFIG": "1",
    "UV_NO_PROGRESS": "1",
    "UV_INDEX_STRATEGY": "unsafe-best-match",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_COMPILE_BYTECODE": "1",
}


def digest(recipe: Recipe) -> str:
    """`sha256:…` of the lock and of the Python that it is installed for."""
    return recipe.lock_digest(_version(_python()))


def is_complete(folder: Path) -> bool:
    """Whether a build of this environment has come to its end."""
    return (folder / COMPLETE).exists()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works on an environment."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def make(recipe: Recipe, folder: Path, log: Path, output: JobOutput) -> None:
    """Make the environment where it will stay, for its scripts have the path in them.

    Raises StepFailed with the last lines of the output.
    """
    if folder.exists():
        shutil.rmtree(folder)
    python = str(folder / "bin" / "python")
    install = ("pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:")
    steps: tuple[Sequence[str], ...] = (
        (_python(), "-P", "-m", "venv", "--without-pip", str(folder)),
        (find_uv_bin(), *install, "--python", python, "-r", str(recipe.lock)),
    )
    if not all(_succeeds(step, output) for step in steps):
        raise StepFailed(
            f"building the environment {recipe.name} failed:\n{output.last_lines()}",
            f"See the log {log}.",
        )
    (folder / COMPLETE).touch()


def _succeeds(argv: Sequence[str], output: JobOutput) -> bool:
    env = {**os.environ, **uv_settings(pip_settings(os.environ)), **UV}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdout=pipe, stderr=subprocess.STDOUT) as process:
        return follow(process, output) == 0


def _python() -> str:
    """A Python 3.11: this one, or the one on PATH."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which(PYTHON)
    if found is None:
        raise StepFailed(
            f"{PYTHON} is not on PATH (this is {sys.version.split()[0]})",
            f"Install {PYTHON}-venv, or use --engine docker.",
        )
    return found


@functools.cache
def _version(python: str) -> str:
    code = "import sys; print(sys.version)"
    argv = [python, "-P", "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
