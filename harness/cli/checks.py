"""Checks what bench can use on this machine, and how to get the rest. Changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from .. import formats
from ..containers import bubblewrap, docker_available
from ..workspace import MARK, cache_root, marked

State = Literal["ok", "optional", "missing"]
MARKS = {"ok": "ok", "optional": "--", "missing": "!!"}
LEAST_FREE_BYTES = 12 * 10**9


@dataclass(frozen=True)
class Finding:
    """One check; `optional`: bench works without it, but less well."""

    state: State
    what: str
    seen: str
    advice: str = ""

    def texts(self) -> tuple[str, str, str, str]:
        """A table row: mark, what, seen, what to do."""
        return MARKS[self.state], self.what, self.seen, self.advice


def examine() -> list[Finding]:
    """Every finding, in the order in which a run needs them."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python, _packages, _docker, _debootstrap, _venv_tools, _sandbox,
        _project, _cache, _cpus, _memory, _governor, _load,
    )  # fmt: skip
    return [check() for check in checks] + _formats()


def is_ready(findings: Sequence[Finding]) -> bool:
    """Nothing that bench requires is missing."""
    return all(finding.state != "missing" for finding in findings)


def verdict(findings: Sequence[Finding]) -> str:
    """One sentence: ready, or the one thing to do first."""
    first = next((finding for finding in findings if finding.state == "missing"), None)
    if first is None:
        return "ready: run `bench plan SCENARIO`, then `bench run SCENARIO`"
    return f"not ready: {first.what}: {first.seen}; {first.advice}, then run `bench doctor` again"


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding(
        "ok" if good else "missing",
        "Python",
        platform.python_version(),
        "" if good else "install Python 3.11 or newer",
    )


def _packages() -> Finding:
    lacking = []
    for requirement in metadata.requires("bench-harness") or []:
        name = requirement.split(";")[0].split(">")[0].strip()
        if "extra ==" not in requirement and not _installed(name):
            lacking.append(name)
    if lacking:
        return Finding(
            "missing",
            "packages",
            f"{', '.join(lacking)} not found",
            "install them with `pip install bench-harness`",
        )
    return Finding("ok", "packages", "all installed")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _docker() -> Finding:
    reason = docker_available()
    if reason is None:
        return Finding("ok", "Docker", "daemon running")
    return Finding("optional", "Docker", "unavailable; using virtual environments instead", reason)


def _sandbox() -> Finding:
    """One of the two confines models; without either, `--engine venv` must be given."""
    reason = bubblewrap.why_not()
    if reason is None:
        return Finding("ok", "bubblewrap", "environments are confined")
    if docker_available() is None:
        return Finding("optional", "bubblewrap", "not needed with Docker", reason)
    advice = f"{reason}; or pass --engine venv to run models without a sandbox"
    return Finding("missing", "sandbox", "no Docker and no bubblewrap", advice)


def _debootstrap() -> Finding:
    path = shutil.which("debootstrap")
    if path:
        return Finding("ok", "debootstrap", path)
    advice = "only needed to build the base image without a registry: apt-get install debootstrap"
    return Finding("optional", "debootstrap", "not found", advice)


def _venv_tools() -> Finding:
    lacking = [tool for tool in ("taskset", "prlimit") if not shutil.which(tool)]
    if lacking:
        return Finding(
            "missing",
            "util-linux",
            f"{', '.join(lacking)} not found",
            "install it with `apt-get install util-linux`",
        )
    return Finding("ok", "util-linux", "taskset and prlimit")


def _project() -> Finding:
    folder = marked(Path.cwd())
    if folder:
        return Finding("ok", "project", str(folder))
    return Finding(
        "optional",
        "project",
        f"no {MARK} here or in a parent folder",
        "start one with `bench init`",
    )


def _cache() -> Finding:
    root = cache_root()
    existing = next(p for p in (root, *root.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding(
            "missing",
            "cache",
            f"{root} is not writable",
            "point BENCH_CACHE at a writable folder",
        )
    free = shutil.disk_usage(existing).free
    seen = f"{root}, {free / 1e9:.0f} GB free"
    if free < LEAST_FREE_BYTES:
        return Finding(
            "missing",
            "cache",
            seen,
            "free 12 GB for the images (`bench prune`), or point BENCH_CACHE at another disk",
        )
    return Finding("ok", "cache", seen)


def _cpus() -> Finding:
    asked = hasattr(os, "sched_getaffinity")  # macOS cannot pin a process
    usable = len(os.sched_getaffinity(0)) if asked else os.cpu_count()
    return Finding("ok", "CPUs", f"{usable} usable, {platform.machine()}")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    good = total >= 4e9
    return Finding(
        "ok" if good else "optional",
        "memory",
        f"{total / 1e9:.1f} GB",
        "" if good else "converters need about 4 GB",
    )


def _governor() -> Finding:
    from ..runner.state import read_state

    state = read_state()
    if state.governor is None:
        return Finding("optional", "clock", "no cpufreq (virtual machine?)", "expect more noise")
    good = state.governor == "performance"
    advice = "" if good else "to reduce noise: cpupower frequency-set -g performance"
    return Finding("ok" if good else "optional", "clock", f"governor {state.governor}", advice)


def _load() -> Finding:
    load = os.getloadavg()[0]
    quiet = load < 0.5
    return Finding(
        "ok" if quiet else "optional",
        "load",
        f"{load:.2f} over the last minute",
        "" if quiet else "measure when idle",
    )


def _formats() -> list[Finding]:
    there = [
        Finding("ok", f"format {name}", ", ".join(module.SPEC.precisions))
        for name, module in formats.REGISTRY.items()
    ]
    return there + [
        Finding("optional", f"format {name}", "skipped", reason)
        for name, reason in formats.PLANNED.items()
    ]
