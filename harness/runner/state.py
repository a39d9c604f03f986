"""The state of the runner's machine, from /proc and /sys; a missing file is None."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from ..records import DeviceState
from . import sensors

CPUS = Path("/sys/devices/system/cpu")
THERMAL = Path("/sys/class/thermal")
HWMON = Path("/sys/class/hwmon")
BATTERY = Path("/sys/class/power_supply/battery")


def read_state() -> DeviceState:
    """One reading, about a millisecond; changes and starts nothing."""
    memory = _pairs("/proc/meminfo")
    return DeviceState(
        taken_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
        cpu_model=_pairs("/proc/cpuinfo").get("model name"),
        cores=os.cpu_count(),
        governor=_text(CPUS / "cpu0/cpufreq/scaling_governor"),
        frequency_khz=_frequencies(),
        hottest_c=_hottest_c(),
        load_1m=os.getloadavg()[0],
        cpu_pressure_percent=_pressure_percent(),
        memory_available_bytes=_kib(memory.get("MemAvailable")),
        memory_total_bytes=_kib(memory.get("MemTotal")),
        battery_percent=sensors.charge_percent(_number(_text(BATTERY / "capacity"))),
        os=" ".join((platform.system(), platform.release(), platform.machine())),
    )


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(text: Optional[str]) -> Optional[float]:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _pairs(path: str) -> "dict[str, str]":
    lines = (_text(Path(path)) or "").splitlines()
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _kib(text: Optional[str]) -> Optional[int]:
    number = _number(text.split()[0]) if text else None
    return None if number is None else int(number) * 1024


def _frequencies() -> Optional[Tuple[int, ...]]:
    paths = sorted(CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    values = [_number(_text(path)) for path in paths]
    return tuple(int(value) for value in values if value is not None) or None


def _hottest_c() -> Optional[float]:
    """From the thermal zones, and the CPU's own sensor if it is not among them."""
    found: List[Tuple[str, str, float]] = []
    for zone in THERMAL.glob("thermal_zone[0-9]*"):
        raw = _number(_text(zone / "temp"))
        if raw is not None:
            found.append((_text(zone / "type") or "", zone.name, raw))
    hottest = sensors.hottest(sensors.temperatures([*found, *_cpu_sensors()]))
    return hottest[0] if hottest else None


def _cpu_sensors() -> Iterator[Tuple[str, str, float]]:
    """Of hwmon; AMD's first one may have an offset for fans, the one named Tdie has none."""
    for monitor in HWMON.glob("hwmon[0-9]*"):
        name = _text(monitor / "name") or ""
        if name in ("coretemp", "k10temp", "zenpower"):
            which = "temp2" if _text(monitor / "temp2_label") == "Tdie" else "temp1"
            raw = _number(_text(monitor / f"{which}_input"))
            if raw is not None:
                yield name, monitor.name, raw


def _pressure_percent() -> Optional[float]:
    text = _text(Path("/proc/pressure/cpu")) or ""
    for word in text.split():
        if word.startswith("avg10="):
            return _number(word[6:])
    return None
