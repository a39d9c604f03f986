"""Macs over SSH, or the local Mac. Written from the tools' documentation, untested."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..errors import StepFailed
from ..printable import one_line
from ..records import DeviceFacts, DeviceState
from ..transports import Transport
from . import LEASES, KindSpec, cpus, hold, readings, scripts
from .answers import Readings, ask, number, whole

SPEC = KindSpec(
    name="macos",
    title="Mac",
    workdir="~/Library/Caches/bench-device",
    runtimes=("venv",),
    measures={},
    leases=LEASES,
)
_BATTERY = re.compile(r"(\d+)%; ([^;]+);")
_LIMIT = re.compile(r"CPU_(?:Speed|Scheduler)_Limit\s*=\s*(\d+)")
_LEVEL = re.compile(r"[Tt]hermal warning level\D*(\d+)")
_PAGE = re.compile(r"page size of (\d+) bytes")
#: what macOS gives to a process that asks for memory
_AVAILABLE = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")


def read_facts(transport: Transport) -> DeviceFacts:
    """See `Kind`. CPUs are only counted: macOS has no CPU pinning."""
    seen = ask(transport, SPEC, scripts.MACOS_FACTS, timeout_s=60.0)
    if seen.last("system") != "Darwin":
        named = one_line(seen.last("system") or "an unnamed system")
        raise StepFailed(f"{transport.name}: not macOS but {named}", "Set `kind: linux`.")
    memory, cores = seen.number("memory_bytes"), seen.number("cores")
    found = readings.pythons(seen)
    return DeviceFacts(
        kind=SPEC.name,
        arch=seen.last("arch") or "unknown",
        os=f"macOS {seen.last('version') or ''}".strip(),
        model=seen.last("model"),
        soc=seen.last("cpu_model"),
        build=", ".join(part for part in (seen.last("build"), seen.last("kernel")) if part),
        cpus=tuple(range(min(int(cores or 0), cpus.MOST))),
        big_cpus=tuple(range(min(int(cores or 0), cpus.MOST))),
        memory_total_bytes=None if memory is None else int(memory),
        workdir=seen.last("workdir") or "",
        free_bytes=seen.bytes("free_kib"),
        python=next(iter(found), None),
        pythons=found,
    )


def read_state(transport: Transport) -> DeviceState:
    """See `Kind`; without root there are no temperatures and no clocks."""
    seen = ask(transport, SPEC, scripts.MACOS_STATE, timeout_s=30.0)
    cores, memory = seen.number("cores"), seen.number("memory_bytes")
    percent, charging = battery(seen.all("batt"))
    return readings.state(
        seen,
        cores=None if cores is None else int(cores),
        memory_total_bytes=None if memory is None else int(memory),
        memory_available_bytes=available_bytes(seen),
        battery_percent=percent,
        charging=charging,
        throttled=throttled(seen.all("therm")),
    )


def battery(lines: Sequence[str]) -> tuple[float | None, bool | None]:
    """Percent and whether it charges, from `pmset -g batt`, without a UPS."""
    for line in lines:
        if "-InternalBattery" in line and (match := _BATTERY.search(line)):
            return number(match[1]), match[2].strip() in ("charging", "charged", "finishing charge")
    return None, None


def throttled(lines: Sequence[str]) -> bool | None:
    """From `pmset -g therm`: limits in percent on Intel, a warning level on Apple silicon."""
    limits = [float(match[1]) for match in map(_LIMIT.search, lines) if match]
    levels = [whole(match[1]) for match in map(_LEVEL.search, lines) if match]
    if limits or levels:
        return any(limit < 100 for limit in limits) or any(levels)
    return False if any("No thermal warning level" in line for line in lines) else None


def available_bytes(seen: Readings) -> int | None:
    """Of `vm_stat`."""
    lines = seen.all("vm_stat")
    page = next((whole(match[1]) for match in map(_PAGE.search, lines) if match), None)
    pairs = dict(line.rsplit(":", 1) for line in lines if ":" in line)
    counts = [number(pairs.get(key, "").strip(" .")) for key in _AVAILABLE]
    known = [int(count) for count in counts if count is not None]
    return page * sum(known) if page and known else None


def steady(
    transport: Transport, allowed: Sequence[str], workdir: str
) -> AbstractContextManager[tuple[str, ...]]:
    """See `Kind`; nothing can be applied without root."""
    return hold.steady(transport, SPEC, allowed, workdir)


def restore(transport: Transport, workdir: str) -> tuple[str, ...]:
    """See `Kind`."""
    return hold.restore(transport, workdir)
