"""A job of a hostile model, run by the real engine of virtual environments."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from harness.containers import CompletedJob, JobSpec, Mount
from harness.containers.venv import VenvEngine
from harness.records import Image


def environment(folder: Path) -> Image:
    """An environment without packages."""
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True)
    return Image("tiny", "venv", str(folder), "sha256:0", True, 0.0)


def run(image: Image, folder: Path, code: str, *mounts: Mount, **limits: object) -> CompletedJob:
    """The job's folder may be written; its log lies beside it."""
    job = folder / "job"
    job.mkdir(parents=True, exist_ok=True)
    spec = JobSpec(
        ("-c", textwrap.dedent(code)),
        folder / "log.txt",
        (Mount(job, "/job", writable=True), *mounts),
        **{"timeout_s": 60.0, **limits},  # type: ignore[arg-type]
    )
    return VenvEngine().run(image, spec)
