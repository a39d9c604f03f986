"""The lab's simulated /sys: as many CPUs as bench may use here, and sensors that tests change.

Every value is the content of a plain file; nothing here measures anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CPU: Final = "devices/system/cpu"
THERMAL: Final = "class/thermal"
BATTERY: Final = "class/power_supply/battery"


@dataclass(frozen=True)
class Board:
    """Clocks in kHz, zones in °C when idle."""

    little_khz: tuple[int, ...]
    big_khz: tuple[int, ...]
    little_capacity: int
    governors: str
    governor: str
    zones: dict[str, float]
    battery: bool = False
    #: other files, path below /sys -> content
    more: dict[str, str] | None = None


PHONE: Final = Board(
    (300000, 614400, 1113600, 1708800),
    (787200, 1171200, 1862400, 2841600),
    380,
    "performance powersave schedutil",
    "schedutil",
    {"cpu-0-0-usr": 35.0, "cpu-1-0-usr": 36.0, "gpuss-0-usr": 34.0, "battery": 29.0},
    battery=True,
)
_RAILS = {"VDD_IN": (5072, 1016), "VDD_CPU_GPU_CV": (5064, 360), "VDD_SOC": (5064, 288)}
_GPU_HZ = "306000000 408000000 510000000 624750000"
JETSON: Final = Board(
    (115200, 729600, 1190400, 1510400),
    (115200, 729600, 1190400, 1510400),
    1024,
    "conservative ondemand userspace powersave performance schedutil",
    "schedutil",
    {"cpu-thermal": 46.0, "gpu-thermal": 45.5, "soc0-thermal": 44.0, "tj-thermal": 46.0},
    more={
        "firmware/devicetree/base/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "firmware/devicetree/base/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0",
        "class/devfreq/17000000.gpu/cur_freq": "306000000",
        "class/devfreq/17000000.gpu/min_freq": "306000000",
        "class/devfreq/17000000.gpu/max_freq": "624750000",
        "class/devfreq/17000000.gpu/available_frequencies": _GPU_HZ,
        "class/devfreq/17000000.gpu/governor": "nvhost_podgov",
        "class/devfreq/17000000.gpu/device/load": "0",
        "class/hwmon/hwmon1/name": "ina3221",
        **{
            f"class/hwmon/hwmon1/{file}": value
            for number, (label, (mv, ma)) in enumerate(_RAILS.items(), 1)
            for file, value in (
                (f"in{number}_label", label),
                (f"in{number}_input", str(mv)),
                (f"curr{number}_input", str(ma)),
            )
        },
    },
)
HOST: Final = Board(
    (800000, 1600000, 2400000),
    (800000, 1600000, 2400000),
    1024,
    "performance powersave",
    "powersave",
    {"acpitz": 38.0, "x86_pkg_temp": 41.0},
)
BOARDS: Final = {"phone": PHONE, "jetson": JETSON, "host": HOST}


def write(board: Board, cpus: Sequence[int], sys: Path) -> None:
    """Fill or restore the folder `sys`; the first half of `cpus` is little."""
    files = {**_cpus(board, cpus), **_zones(board), **(_battery() if board.battery else {})}
    for name, value in {**files, **(board.more or {})}.items():
        path = sys / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if value.endswith("\0") else value + "\n", "ascii")
    for cluster in _clusters(board, cpus):
        for cpu in cluster:
            link = sys / CPU / f"cpu{cpu}" / "cpufreq"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../cpufreq/policy{cluster[0]}")


def _clusters(board: Board, cpus: Sequence[int]) -> list[Sequence[int]]:
    """Little ones first; one cluster if all are equal."""
    half = len(cpus) // 2 if board.little_khz != board.big_khz else 0
    return [part for part in (cpus[:half], cpus[half:]) if part]


def _cpus(board: Board, cpus: Sequence[int]) -> dict[str, str]:
    listed = ",".join(map(str, cpus))
    files = {f"{CPU}/{name}": listed for name in ("possible", "present", "online")}
    clusters = _clusters(board, cpus)
    for cluster in clusters:
        small = cluster is not clusters[-1]
        for cpu in cluster:
            files[f"{CPU}/cpu{cpu}/cpu_capacity"] = str(board.little_capacity if small else 1024)
            files[f"{CPU}/cpu{cpu}/topology/core_id"] = str(cpu)
            files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "0"
        policy = f"{CPU}/cpufreq/policy{cluster[0]}"
        khz = board.little_khz if small else board.big_khz
        files |= {f"{policy}/{name}": value for name, value in _clocks(board, khz).items()}
        files[f"{policy}/related_cpus"] = " ".join(map(str, cluster))
    return files


def policies(sys: Path) -> list[Path]:
    """The folders of the clusters' clocks."""
    return sorted((sys / CPU / "cpufreq").glob("policy*"))


def _clocks(board: Board, khz: Sequence[int]) -> dict[str, str]:
    return {
        "scaling_governor": board.governor,
        "scaling_available_governors": board.governors,
        "scaling_available_frequencies": " ".join(map(str, khz)),
        "scaling_cur_freq": str(khz[-1]),
        "scaling_min_freq": str(khz[0]),
        "scaling_max_freq": str(khz[-1]),
        "cpuinfo_min_freq": str(khz[0]),
        "cpuinfo_max_freq": str(khz[-1]),
    }


def _zones(board: Board) -> dict[str, str]:
    files = {}
    for number, (name, celsius) in enumerate(board.zones.items()):
        files[f"{THERMAL}/thermal_zone{number}/type"] = name
        files[f"{THERMAL}/thermal_zone{number}/temp"] = str(round(celsius * 1000))
    return files


def _battery() -> dict[str, str]:
    values = {
        "type": "Battery", "capacity": "87", "status": "Discharging", "health": "Good",
        "technology": "Li-ion", "temp": "290", "voltage_now": "4123000",
        "current_now": "-215000", "present": "1",
    }  # fmt: skip
    files = {f"{BATTERY}/{name}": value for name, value in values.items()}
    files["class/power_supply/usb/online"] = "0"
    return files
