"""Takes apart what the scripts print, into facts and states. Pure; knows each tool's format."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence

from ..errors import StepFailed
from ..records import CpuPolicy, DeviceFacts, DeviceState
from ..runner import sensors
from ..transports import Transport
from . import KindSpec, batteries
from .scripts import HOME, PRELUDE

#: Python that the runner needs
OLDEST_PYTHON = (3, 8)
#: of the fastest's capacity; arm64 kernels give 1024 to the fastest
FAST_CAPACITY = 0.6
#: of the highest clock, where that is all that is known; favoured cores differ by some percent
FAST_CLOCK = 0.95

_TEGRA = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")


class Readings:
    """Values by key, in the order in which they came; a key may come often or not at all."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.replace("_", "").replace(".", "").isalnum():
                self._values.setdefault(key, []).append(value.strip())

    def all(self, key: str) -> list[str]:
        return self._values.get(key, [])

    def last(self, key: str) -> str | None:
        return self._values[key][-1] if key in self._values else None

    def first(self, key: str) -> str | None:
        return self._values[key][0] if key in self._values else None

    def number(self, key: str) -> float | None:
        """The first word of the last value."""
        return number((self.last(key) or "").split(" ")[0])

    def bytes(self, key: str) -> int | None:
        """Of a value in KiB."""
        kib = self.number(key)
        return None if kib is None else int(kib) * 1024


def ask(on: Transport, spec: KindSpec, *scripts: str, timeout_s: float) -> Readings:
    """One round trip. Raises DeviceLost, JobTimeout, StepFailed when the device has no shell."""
    script = "".join((PRELUDE, HOME, *scripts, "\nexit 0\n"))
    done = on.run(["sh", "-c", script, "sh", spec.workdir], timeout_s=timeout_s)
    readings = Readings(done.text)
    if readings.last("workdir") is None:
        said = (done.stderr or done.stdout).decode("utf-8", "backslashreplace").strip()
        raise StepFailed(
            f"{on.name}: a shell script there printed nothing of what it should "
            f"(exit code {done.exit_code}): {said.splitlines()[-1] if said else 'no output'}",
            "the device needs a POSIX sh that this user may run",
        )
    return readings


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# ---- facts -------------------------------------------------------------------------------------


def facts(
    kind: str, seen: Readings, *, os: str, build: str | None, libc: str | None, **more: str | None
) -> DeviceFacts:
    """What all Linux kernels tell, with what only the kind knows."""
    cpus = usable_cpus(seen)
    return DeviceFacts(
        kind=kind,
        arch=seen.last("arch") or "unknown",
        os=os,
        model=more.get("model") or seen.last("model"),
        soc=more.get("soc"),
        build=build,
        driver=more.get("driver"),
        cpus=cpus,
        big_cpus=big_cpus(seen, cpus),
        memory_total_bytes=seen.bytes("MemTotal"),
        workdir=seen.last("workdir") or "",
        free_bytes=seen.bytes("free_kib"),
        python=python(seen.last("python")),
        docker=seen.last("docker"),
        nvidia_runtime="nvidia" in (seen.last("runtimes") or "").split(),
        libc=libc,
    )


def usable_cpus(seen: Readings) -> tuple[int, ...]:
    """CPUs that are on and that this user's processes may use."""
    on = cpu_list(seen.last("online"))
    if not on:
        on = tuple(int(text) for text in seen.all("processor") if text.isdigit())
    allowed = cpu_list(seen.last("allowed"))
    return tuple(cpu for cpu in on if cpu in allowed) or on


def big_cpus(seen: Readings, cpus: Sequence[int]) -> tuple[int, ...]:
    """The fast ones, the fastest last; all where they are alike or nothing is known."""
    for unit, share in (("capacity", FAST_CAPACITY), ("max", FAST_CLOCK)):
        speeds = _speeds(seen.all("speed"), unit)
        if speeds and set(cpus) <= set(speeds):
            least = share * max(speeds[cpu] for cpu in cpus)
            fast = [cpu for cpu in cpus if speeds[cpu] >= least]
            return tuple(sorted(fast, key=lambda cpu: (speeds[cpu], cpu)))
    return tuple(cpus)


def _speeds(lines: Iterable[str], wanted: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for line in lines:
        cpu, unit, value = (*line.split(), "", "", "")[:3]
        speed = number(value)
        if unit == wanted and cpu.isdigit() and speed:
            found[int(cpu)] = speed
    return found


def cpu_list(text: str | None) -> tuple[int, ...]:
    """`0-2,5` as the kernel writes it; nothing for what is no list."""
    found: list[int] = []
    for part in (text or "").split(","):
        low, _, high = part.strip().partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            return ()
        found += range(int(low), int(high or low) + 1)
    return tuple(found)


def python(version: str | None) -> str | None:
    """The version, unless the runner cannot use it."""
    words = (version or "").split(".")[:2]
    if not all(word.isdigit() for word in words) or len(words) < 2:
        return None
    return version if tuple(map(int, words)) >= OLDEST_PYTHON else None


def l4t(release: str | None) -> str | None:
    """`35.4.1` of `# R35 (release), REVISION: 4.1, GCID: …`."""
    match = _TEGRA.search(release or "")
    return f"{match[1]}.{match[2]}" if match else None


# ---- state -------------------------------------------------------------------------------------


def state(seen: Readings, **more: object) -> DeviceState:
    """What all Linux kernels tell, with what only the kind knows."""
    zones = zone_temperatures(seen.all("zone"))
    battery = batteries.of_kernel(seen.all("supply"))
    frequencies = tuple(int(v) for v in map(number, seen.all("freq")) if v is not None)
    known: dict[str, object] = {
        "taken_at": now(),
        "cpu_model": seen.first("cpu_model"),
        "cores": len(cpu_list(seen.last("online"))) or None,
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
    """Our clock, not the device's, which may jump."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def zone_temperatures(lines: Iterable[str]) -> dict[str, float]:
    """`45000 thermal_zone0 cpu-thermal` -> °C by type, of those that are temperatures."""
    words = ((*line.split(" ", 2), "", "")[:3] for line in lines)
    known = ((kind, zone, number(value)) for value, zone, kind in words)
    return sensors.temperatures((kind, zone, raw) for kind, zone, raw in known if raw is not None)


def hottest_c(celsius: Mapping[str, float]) -> float | None:
    """Of the sensors that follow the heat."""
    found = sensors.hottest(celsius)
    return found[0] if found else None


def governor(seen: Readings) -> str | None:
    """That of the policies; several, in their order, where they differ."""
    names = dict.fromkeys(line.split(" ")[1] for line in seen.all("policy") if " " in line)
    return ", ".join(names) or seen.last("governor")


def policies(lines: Iterable[str]) -> Iterable[CpuPolicy]:
    """`policy0 schedutil 300000 1100000 1800000`; an unknown one is `-`."""
    for line in lines:
        name, governor, *limits = line.split(" ")
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
