"""Causes of noise on this machine, and how to reduce it. Reads /proc and /sys only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..records import DeviceState
from .flags import PRESSURE_PERCENT

#: more stolen time than this is felt in a 2 % comparison
STEAL_PERCENT = 1.0
CPUS = Path("sys/devices/system/cpu")


@dataclass(frozen=True)
class Machine:
    """Settings that affect noise; None: unknown."""

    governor: str | None
    turbo: bool | None
    hyperthreads: bool | None
    virtual: bool
    cores: int | None = None


@dataclass(frozen=True)
class CpuTime:
    """Clock ticks of all CPUs since boot."""

    stolen: int
    total: int


def read_machine(root: Path = Path("/")) -> Machine:
    """`root` is another machine's file tree, in tests."""
    turbo = _text(root / CPUS / "cpufreq/boost")
    no_turbo = _text(root / CPUS / "intel_pstate/no_turbo")
    smt = _text(root / CPUS / "smt/active")
    return Machine(
        governor=_text(root / CPUS / "cpu0/cpufreq/scaling_governor"),
        turbo=turbo == "1" if turbo else no_turbo == "0" if no_turbo else None,
        hyperthreads=smt == "1" if smt else None,
        virtual="hypervisor" in (_text(root / "proc/cpuinfo") or ""),
        cores=os.cpu_count(),
    )


def machine_in(state: DeviceState) -> Machine:
    """The settings known from a device's state."""
    return Machine(state.governor, None, None, False, state.cores)


def read_cpu_time(root: Path = Path("/")) -> CpuTime | None:
    """The first line of /proc/stat; None if malformed."""
    words = (_text(root / "proc/stat") or "").splitlines()[:1]
    numbers = words[0].split()[1:9] if words else []
    if len(numbers) < 8 or not all(re.fullmatch("[0-9]{1,20}", number) for number in numbers):
        return None
    return CpuTime(int(numbers[7]), sum(map(int, numbers)))


def steal_percent(before: CpuTime | None, after: CpuTime | None) -> float | None:
    """Share of CPU time that the hypervisor gave to others in between (steal)."""
    if before is None or after is None or after.total <= before.total:
        return None
    return 100 * (after.stolen - before.stolen) / (after.total - before.total)


def advice(machine: Machine, steal: float | None, pressure: float | None) -> tuple[str, ...]:
    """One line per cause of noise, with what to do; empty on a quiet machine."""
    lines: list[str] = []
    if pressure is not None and pressure > PRESSURE_PERCENT:
        lines.append(f"background load ({pressure:.0f} % CPU pressure): stop other processes")
    if steal is not None and steal > STEAL_PERCENT:
        lines.append(f"the hypervisor took {steal:.1f} % of the time: use a dedicated machine")
    elif machine.virtual:
        lines.append("virtual machine, other guests are invisible: use one with pinned CPUs")
    if machine.governor not in (None, "performance"):
        lines.append(f"governor {machine.governor}: `cpupower frequency-set -g performance`")
    if machine.turbo:
        lines.append("turbo is on: write 0 to cpufreq/boost,  "
                     "or 1 to intel_pstate/no_turbo")  # fmt: skip
    if machine.hyperthreads:
        lines.append("SMT is on: `echo off > /sys/devices/system/cpu/smt/control`")
    if machine.cores is not None and machine.cores < 4:
        lines.append("fewer than 4 CPUs: bench and the system compete with the measured process")
    return tuple(lines)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
