"""Takes apart what the scripts print, into facts and states. Pure; knows each tool's format."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

from ..errors import StepFailed
from ..records import CpuPolicy, DeviceFacts, DeviceState
from ..transports import Transport
from . import KindSpec
from .scripts import HOME, PRELUDE

#: sensors that are off or broken say -274, 0 or 4095 °C
PLAUSIBLE_C = (1.0, 150.0)
#: Python that the runner needs
OLDEST_PYTHON = (3, 8)
#: of the fastest's capacity; arm64 kernels give 1024 to the fastest
FAST_CAPACITY = 0.6
#: of the highest clock, where that is all that is known; favoured cores differ by some percent
FAST_CLOCK = 0.95

_TEGRA = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
_HAL_TEMPERATURE = re.compile(r"Temperature\{mValue=([-\d.]+), mType=-?\d+, mName=([^,}]*),")
_TEGRA_TEMPERATURE = re.compile(r"(\S+)@(-?[\d.]+)C\b")
#: rails as tegrastats prints them, after its temperatures: `VDD_IN 7615mW/7615mW`
_TEGRA_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]+) (\d+)(?:mW)?/\d+(?:mW)?")
#: the whole board's input: Orin Nano and NX, Nano and TX2 and Xavier NX, Thor
BOARD_INPUTS = ("VDD_IN", "POM_5V_IN", "VIN")
#: of the AGX Orin, which has no rail of the whole board; VIN_SYS_5V0 alone is the IO's
BOARD_PARTS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


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
    frequencies = tuple(int(v) for v in map(number, seen.all("freq")) if v is not None)
    known: dict[str, object] = {
        "taken_at": now(),
        "cpu_model": seen.first("cpu_model"),
        "cores": len(cpu_list(seen.last("online"))) or None,
        "governor": governor(seen),
        "frequency_khz": frequencies or None,
        "hottest_c": max(zones.values(), default=None),
        "load_1m": seen.number("load"),
        "cpu_pressure_percent": pressure(seen.first("pressure")),
        "memory_available_bytes": seen.bytes("MemAvailable"),
        "memory_total_bytes": seen.bytes("MemTotal"),
        "battery_percent": seen.number("capacity"),
        "charging": charging(seen.last("charging")),
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
    """`45000 thermal_zone0 cpu-thermal` -> °C by type; by zone, too, where a type comes twice."""
    found: dict[str, float] = {}
    for line in lines:
        value, zone, kind = (*line.split(" ", 2), "", "")[:3]
        milli = number(value)
        if milli is not None and plausible(milli / 1000):
            name = kind or zone
            found[f"{name} ({zone})" if name in found else name] = milli / 1000
    return found


def plausible(celsius: float) -> bool:
    return PLAUSIBLE_C[0] <= celsius <= PLAUSIBLE_C[1]


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


def charging(status: str | None) -> bool | None:
    """The kernel's words for a battery."""
    if status in ("Charging", "Full"):
        return True
    return False if status in ("Discharging", "Not charging") else None


# ---- Android -----------------------------------------------------------------------------------


def battery(lines: Iterable[str]) -> dict[str, str]:
    """`dumpsys battery`: `level: 85` and so on."""
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def battery_percent(values: dict[str, str]) -> float | None:
    """Of level and scale; None for a device without a battery."""
    level, scale = number(values.get("level", "")), number(values.get("scale", "100"))
    if level is None or not scale or values.get("present") == "false":
        return None
    return 100 * level / scale


def thermal(lines: Iterable[str]) -> tuple[bool | None, dict[str, float]]:
    """`dumpsys thermalservice`: whether it throttles, and its sensors, those of the HAL first.

    Without a HAL its status is a default, and no reading.
    """
    throttled: bool | None = None
    ready = True
    cached: dict[str, float] = {}
    current: dict[str, float] = {}
    found = cached
    for line in lines:
        if line.strip() == "HAL Ready: false":
            ready = False
        elif line.startswith("Thermal Status:"):
            status = number(line.partition(":")[2].strip())
            throttled = None if status is None else status >= 1
        elif line.endswith(":"):
            found = current if line.startswith("Current temperatures") else cached
        elif match := _HAL_TEMPERATURE.search(line):
            celsius = number(match[1])
            if celsius is not None and plausible(celsius):
                found[match[2]] = celsius
    return throttled if ready else None, current or cached


# ---- Jetson ------------------------------------------------------------------------------------


def tegra_temperatures(line: str | None) -> dict[str, float]:
    """`… CPU@45.3C GPU@-256C …` of tegrastats; -256 is a sensor that is off."""
    pairs = ((name, float(text)) for name, text in _TEGRA_TEMPERATURE.findall(line or ""))
    return {name: celsius for name, celsius in pairs if plausible(celsius)}


def tegra_power_mw(line: str | None) -> float | None:
    """What the whole board draws at this moment; None where its rails are not known to be all."""
    rails = {name: float(text) for name, text in _TEGRA_RAIL.findall(line or "")}
    for name in BOARD_INPUTS:
        if name in rails:
            return rails[name]
    return sum(rails[name] for name in BOARD_PARTS) if rails.keys() >= set(BOARD_PARTS) else None


def power_mode(lines: Sequence[str]) -> str | None:
    """`NV Power Mode: MODE_15W` of `nvpmodel -q`."""
    for line in lines:
        if line.startswith("NV Power Mode:"):
            return line.partition(":")[2].strip() or None
    return None
