"""Macs over SSH, or the Mac at hand. Written from the tools' documentation, not tried on one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..errors import StepFailed
from ..records import DeviceFacts, DeviceState
from ..transports import Transport
from . import KindSpec, hold, readings, scripts
from .answers import Readings, ask, number

SPEC = KindSpec(
    name="macos",
    title="Mac",
    workdir="~/Library/Caches/bench-device",
    runtimes=("venv",),
    measures={},
)
_BATTERY = re.compile(r"(\d+)%; ([^;]+);")
_PAGE = re.compile(r"page size of (\d+) bytes")
#: what macOS gives to a process that asks for memory
_AVAILABLE = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")


def read_facts(on: Transport) -> DeviceFacts:
    """See `Kind`. CPUs are not numbered: macOS pins no process to one."""
    seen = ask(on, SPEC, scripts.MACOS_FACTS, timeout_s=60.0)
    if seen.last("system") != "Darwin":
        raise StepFailed(f"{on.name}: {seen.last('system')}, and no macOS", "kind: linux")
    memory = seen.number("memory_bytes")
    return DeviceFacts(
        kind=SPEC.name,
        arch=seen.last("arch") or "unknown",
        os=f"macOS {seen.last('version') or ''}".strip(),
        model=seen.last("model"),
        soc=seen.last("cpu_model"),
        build=", ".join(part for part in (seen.last("build"), seen.last("kernel")) if part),
        memory_total_bytes=None if memory is None else int(memory),
        workdir=seen.last("workdir") or "",
        free_bytes=seen.bytes("free_kib"),
        python=readings.python(seen.last("python")),
    )


def read_state(on: Transport) -> DeviceState:
    """See `Kind`; without root there are no temperatures and no clocks."""
    seen = ask(on, SPEC, scripts.MACOS_STATE, timeout_s=30.0)
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
    """Percent and whether it charges, of `pmset -g batt`."""
    for line in lines:
        if match := _BATTERY.search(line):
            return float(match[1]), match[2].strip() in ("charging", "charged", "finishing charge")
    return None, None


def throttled(lines: Sequence[str]) -> bool | None:
    """Of `pmset -g therm`: a speed limit on Intel, a warning level on Apple silicon."""
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key.strip() == "CPU_Speed_Limit":
            limit = number(value.strip())
            return None if limit is None else limit < 100
    if any("No thermal warning level" in line for line in lines):
        return False
    return None


def available_bytes(seen: Readings) -> int | None:
    """Of `vm_stat`."""
    lines = seen.all("vm_stat")
    page = next((int(match[1]) for match in map(_PAGE.search, lines) if match), None)
    pairs = dict(line.rsplit(":", 1) for line in lines if ":" in line)
    counts = [number(pairs.get(key, "").strip(" .")) for key in _AVAILABLE]
    known = [int(count) for count in counts if count is not None]
    return page * sum(known) if page and known else None


def steady(
    on: Transport, allowed: Sequence[str], workdir: str
) -> AbstractContextManager[tuple[str, ...]]:
    """See `Kind`; there is nothing that a user may hold without root, and nothing is promised."""
    return hold.steady(on, SPEC, allowed, workdir)


def restore(on: Transport, workdir: str) -> tuple[str, ...]:
    """See `Kind`."""
    return hold.restore(on, workdir)
