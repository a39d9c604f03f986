"""Devices of the made-up run: what they are, how warm they get, their noise, their layers."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from harness.analysis.host_noise import Machine
from harness.analysis.noise_floor import Noise
from harness.analysis.ratio import Comparison
from harness.monitor import state_file
from harness.records import (
    Cell,
    CpuPolicy,
    DeviceFacts,
    DeviceState,
    Interval,
    Layer,
    Placed,
    Placement,
    Reading,
    RunDevice,
    Watched,
)
from harness.serial import dumps

THROTTLED: Final = "throttled: the clock of cpu0 fell from 1.48 GHz to 0.918 GHz (38 %) under load"
_BEGAN: Final = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_GIB: Final = 1 << 30
_STATE: Final = DeviceState(
    "", "Example CPU @ 2.5 GHz", 2, "performance", (2500000, 2500000),
    61.5, 0.42, 0.1, 21_000_000_000, 25_000_000_000, None, "Debian GNU/Linux 12",
)  # fmt: skip
_ABOUT: Final = {
    "local": RunDevice(
        "local", "linux", "local", ("host", "x86"), "this machine",
        facts=DeviceFacts("linux", "x86_64", "Debian GNU/Linux 12", "Example board", None,
                          "6.1.0-28-amd64", None, (0, 1), (0, 1), 25 * _GIB, libc="glibc 2.36"),
    ),
    "pi5": RunDevice(
        "pi5", "linux", "ssh", ("host", "arm64"), "a Raspberry Pi 5 in the rack",
        facts=DeviceFacts("linux", "aarch64", "Debian GNU/Linux 12", "Raspberry Pi 5", "BCM2712",
                          "6.6.51+rpt-rpi-2712", None, (0, 1, 2, 3), (0, 1, 2, 3), 8 * _GIB),
        allowed=("governor", "affinity"), held=("governor performance", "CPUs 0-3"),
    ),
    "jetson": RunDevice(
        "jetson", "jetson", "ssh", ("jetson", "arm64"), "Orin Nano without a fan",
        facts=DeviceFacts("jetson", "aarch64", "Ubuntu 22.04", "Jetson Orin Nano", "T234",
                          "L4T 36.4.0", "CUDA 12.6", tuple(range(6)), tuple(range(6)), 8 * _GIB,
                          docker="27.1", nvidia_runtime=True),
        allowed=("clocks", "power_mode"), held=("power_mode 15W", "jetson_clocks=on"),
        restored=("power_mode MAXN_SUPER",),
    ),
    "phone-arm64": RunDevice(
        "phone-arm64", "android", "adb", ("phone", "arm64"), "an emulated telephone", True,
        DeviceFacts("android", "aarch64", "Android 14", "emulated arm64", "qemu",
                    "lab/arm64:14/BENCH", None, (0, 1), (0, 1), 4 * _GIB, libc="bionic"),
        set_aside="phone-arm64 was excluded: lost 3 times in a row; last error: "
        "no answer for 30 s",
    ),
}  # fmt: skip


def about(name: str) -> RunDevice:
    """What the run wrote of the device."""
    return _ABOUT.get(name) or RunDevice(name, "linux", "ssh", description="example host")


def warmth_c(device: str, at_s: float) -> float:
    """The jetson heats up over half an hour; the others keep cool."""
    if device == "jetson":
        return 48.0 + 49.0 * (1 - math.exp(-(at_s - 1000) / 900)) + 0.8 * math.sin(at_s / 7)
    return 58.0 + 4.0 * math.sin(at_s / 60) + 0.4 * math.sin(at_s)


def clock_khz(device: str, at_s: float) -> int:
    """Slows down from 85 °C on."""
    top = {"jetson": 1_479_000, "pi5": 2_400_000}.get(device, 2_500_000)
    over = max(0.0, warmth_c(device, at_s) - 85.0)
    return int(top - min(0.38, over * 0.032) * top)


def state(device: str, at_s: float, load: float = 0.42) -> DeviceState:
    """The device at one moment."""
    khz = clock_khz(device, at_s)
    taken = _BEGAN + timedelta(seconds=at_s - 1000)
    policy = CpuPolicy("policy0", "performance", 400_000, khz, clock_khz(device, 1000))
    made = replace(
        _STATE, taken_at=taken.isoformat(), hottest_c=round(warmth_c(device, at_s), 1),
        frequency_khz=(khz, khz), load_1m=round(load, 2), policies=(policy,),
    )  # fmt: skip
    if device.startswith("phone"):
        return replace(made, battery_percent=round(96 - (at_s - 1000) / 400))
    return replace(made, power_mode="15W", cpu_model=None) if device == "jetson" else made


def readings(folder: Path, device: str, began_s: float, ended_s: float) -> None:
    """`state.jsonl` of a trial: twice a second, or 40 in all where it took longer."""
    step = max(0.5, (ended_s - began_s) / 40)
    count = int((ended_s - began_s) / step) + 1
    seen = tuple(_reading(device, round(began_s + n * step, 2)) for n in range(count))
    state_file.write(folder / "state.jsonl", Watched(seen))


def _reading(device: str, at_s: float) -> Reading:
    khz, hot = clock_khz(device, at_s), warmth_c(device, at_s)
    power = {"INA3221 VDD_IN": 6.4, "INA3221 VDD_CPU": 3.3} if device == "jetson" else {}
    return Reading(
        at_s,
        frequency_khz={"0": khz, "1": khz},
        temperatures_c={"cpu-thermal": round(hot, 1), "broken": 4095.0},
        busy_percent={"0": 98.0, "1": 3.0},
        power_w=power,
        energy_uj={"RAPL package-0": round(at_s * 14.3e6)} if device == "local" else {},
        battery_percent=96 - (at_s - 1000) / 400 if device.startswith("phone") else None,
    )


def layers(folder: Path, cell: Cell, middle: float) -> Placement | None:
    """`layers.json` of a cell, and what ran where; PyTorch says nothing of either."""
    where = {"onnx": "CPUExecutionProvider", "openvino": "CPU", "tflite": "XNNPACK"}
    if cell.format not in where:
        return None
    kinds = ("Conv", "Conv", "Mul", "Sigmoid", "Concat", "Resize", "MaxPool")
    weights = [1 / (1 + n) for n in range(60)]
    made = [
        Layer(f"/model.{n // 3}/{kinds[n % 7].lower()}_{n}", kinds[n % 7], where[cell.format],
              round(middle * w / sum(weights), 5), round(w / sum(weights), 5))
        for n, w in enumerate(weights)
    ]  # fmt: skip
    (folder / "layers.json").write_text(dumps(made))
    rest = cell.format == "tflite"
    placed = [Placed(where[cell.format], 56 if rest else 60, 56 / 60 if rest else 1.0, 1.0)]
    if rest:
        placed = [replace(placed[0], time_share=0.981), Placed("CPU", 4, 4 / 60, 0.019)]
    tool = {"onnx": "ORT profiling", "openvino": "the compiled model"}.get(cell.format, "LiteRT")
    return Placement(where[cell.format], tuple(placed), (), False, tool, 20, middle)


def noise() -> dict[str, Noise]:
    """Checked on two of the devices."""
    quiet = Noise(
        "local", "2026-11-21T22:10:00+00:00", "20261121-221000-noise",
        "rio-onnx-fp32-local-t1-b1", "full", 5, Interval(17.6, 17.5, 17.7),
        Comparison(Interval(1.0021, 0.9962, 1.008), "same", True, (5, 5)), 0.42, 0.55, 1.9,
        0.64,
        {"quick": 1.12, "full": 0.78}, {"quick": 1.9, "full": 1.3}, 1.003, True, 0.1, 0.4,
        Machine("performance", False, False, True, 2), (),
        ("virtual machine, other guests are invisible: use one with pinned CPUs",),
    )  # fmt: skip
    loud = replace(
        quiet, device="jetson", cell_id="rio-onnx-fp32-jetson-t1-b1", profile="quick", trials=3,
        p50_ms=Interval(40.5, 39.0, 42.4),
        sides=Comparison(Interval(1.021, 0.957, 1.089), "inconclusive", True, (3, 3)),
        between_percent=2.6, floor_percent={"quick": 7.4, "full": 5.1},
        detectable_percent={"quick": 11.0, "full": 7.2}, quick_ratio=None, quick_agrees=None,
        quick_between_percent=2.6,
        flags=("trials disagree by 8.4 % (limit 3.0 %); run more trials",),
        advice=("throttles above 85 °C: improve cooling, or set cool_below_c",),
    )  # fmt: skip
    return {"local": quiet, "jetson": loud}
