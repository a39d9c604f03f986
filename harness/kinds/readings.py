"""Facts and states from the scripts' output, common to all Linux kernels. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping

from ..records import CpuPolicy, DeviceFacts, DeviceState
from ..runner import sensors
from . import batteries, cpus
from .answers import Readings, number

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})(?:[.+][\w.+-]{0,40})?", re.ASCII)
#: Python that the runner needs
OLDEST_PYTHON = (3, 8)


# ---- facts -------------------------------------------------------------------------------------


def facts(
    kind: str, seen: Readings, *, os: str, build: str | None, libc: str | None, **more: str | None
) -> DeviceFacts:
    """Facts common to all Linux kernels, with those of the kind."""
    usable = cpus.usable(seen)
    return DeviceFacts(
        kind=kind,
        arch=seen.last("arch") or "unknown",
        os=os,
        model=more.get("model") or seen.last("model"),
        soc=more.get("soc"),
        build=build,
        driver=more.get("driver"),
        cpus=usable,
        big_cpus=cpus.fast(seen, usable),
        cpu_order=cpus.by_preference(seen, usable),
        pythons=pythons(seen),
        memory_total_bytes=seen.bytes("MemTotal"),
        workdir=seen.last("workdir") or "",
        free_bytes=seen.bytes("free_kib"),
        python=next(iter(pythons(seen)), None),
        docker=seen.last("docker"),
        nvidia_runtime="nvidia" in (seen.last("runtimes") or "").split(),
        libc=libc,
    )


def pythons(seen: Readings) -> tuple[str, ...]:
    """Versions that the runner can use, one per minor version, in order."""
    found: dict[tuple[int, ...], str] = {}
    for version in seen.all("python"):
        if match := _VERSION.fullmatch(version):
            found.setdefault((int(match[1]), int(match[2])), version)
    return tuple(version for minor, version in found.items() if minor >= OLDEST_PYTHON)


# ---- state -------------------------------------------------------------------------------------


def state(seen: Readings, **more: object) -> DeviceState:
    """Facts common to all Linux kernels, with those of the kind."""
    zones = zone_temperatures(seen.all("zone"))
    battery = batteries.of_kernel(seen.all("supply"))
    frequencies = tuple(int(v) for v in map(number, seen.all("freq")) if v is not None)
    known: dict[str, object] = {
        "taken_at": now(),
        "cpu_model": seen.first("cpu_model"),
        "cores": len(cpus.listed(seen.last("online"))) or None,
        "governor": governor(seen),
        "frequency_khz": frequencies or None,
        "hottest_c": hottest_c(zones),
        "load_1m": seen.number("load"),
        "cpu_pressure_percent": pressure(seen.first("pressure")),
        "memory_available_bytes": seen.bytes("MemAvailable"),
        "memory_total_bytes": seen.bytes("MemTotal"),
        "battery_percent": battery.percent,
        "charging": battery.charging,
        "os": seen.last("os"),
        "temperatures_c": zones,
        "storage_free_bytes": seen.bytes("free_kib"),
        "policies": tuple(policies(seen.all("policy"))),
    }
    return DeviceState(**{**known, **more})  # type: ignore[arg-type]


def now() -> str:
    """The local clock, not the device's, which may jump."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def zone_temperatures(lines: Iterable[str]) -> dict[str, float]:
    """`45000 thermal_zone0 cpu-thermal` -> °C by type, only temperatures."""
    words = ((*line.split(" ", 2), "", "")[:3] for line in lines)
    known = ((kind, zone, number(value)) for value, zone, kind in words)
    return sensors.temperatures((kind, zone, raw) for kind, zone, raw in known if raw is not None)


def hottest_c(celsius: Mapping[str, float]) -> float | None:
    """The hottest of the sensors that follow the load."""
    found = sensors.hottest(celsius)
    return found[0] if found else None


def governor(seen: Readings) -> str | None:
    """The policies' governor; several, in order, if they differ."""
    names = dict.fromkeys(line.split(" ")[1] for line in seen.all("policy") if " " in line)
    return ", ".join(names) or seen.last("governor")


def policies(lines: Iterable[str]) -> Iterable[CpuPolicy]:
    """`policy0 schedutil 300000 1100000 1800000`; an unknown one is `-`."""
    for line in lines:
        name, governor, *limits = (*line.split(" "), "")
        if not governor:
            continue
        low, current, high = (*(number(text) for text in limits), None, None, None)[:3]
        yield CpuPolicy(name, governor, _whole(low), _whole(current), _whole(high))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def pressure(line: str | None) -> float | None:
    """Of `some avg10=1.23 avg60=…`."""
    for word in (line or "").split():
        if word.startswith("avg10="):
            return number(word[6:])
    return None
