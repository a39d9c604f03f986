"""Boards, phones, CPUs and daemons that people have, with what each of them says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import kinds, runtimes
from harness.kinds import thermal_service
from harness.kinds.rails import tegrastats_power_mw
from harness.monitor import parse
from harness.records import DeviceFacts
from harness.targets.target import chosen, in_order

TEGRASTATS = {
    "agx orin": (
        "RAM 2448/62840MB CPU [3%@729,off] EMC_FREQ 1%@2133 cpu@53.062C tj@53.062C "
        "VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV 4405mW/4405mW VIN_SYS_5V0 4767mW/4767mW",
        12377.0,
    ),
    "agx orin with averages": (
        "VDD_GPU_SOC 3588mW/3588mW/3588mW VDD_CPU_CV 797mW/797mW/797mW "
        "VIN_SYS_5V0 5148mW/5148mW/5148mW",
        9533.0,
    ),
    "thor": (
        "VDD_GPU 5517mW/5517mW VDD_CPU_SOC_MSS 7484mW/7484mW VIN_SYS_5V0 6309mW/6309mW "
        "VIN 28548mW/28548mW",
        28548.0,
    ),
    "orin nx": (
        "RAM 6123/15389MB cpu@45.5C VDD_IN 7615mW/7615mW VDD_CPU_GPU_CV 1200mW/1200mW "
        "VDD_SOC 2000mW/2000mW",
        7615.0,
    ),
    "nano": ("PMIC@100C POM_5V_IN 2079/2079 POM_5V_GPU 83/83 POM_5V_CPU 375/375", 2079.0),
    "agx xavier": ("GPU 0/0 CPU 310/310 SOC 930/930 CV 0/0 VDDRQ 155/155 SYS5V 1390/1390", 2785.0),
    "agx xavier without its ddr": ("GPU 0/0 CPU 310/310 SOC 930/930 CV 0/0 SYS5V 1390/1390", None),
    "tx2": ("VDD_SYS_GPU 152/152 VDD_SYS_SOC 456/456 VDD_IN 3268/3268 VDD_SYS_CPU 228/228", 3268.0),
    "thor without its input": (
        "VDD_GPU 5517mW/5517mW VDD_CPU_SOC_MSS 7484mW/7484mW VIN_SYS_5V0 6309mW/6309mW",
        None,
    ),
    "memory is no rail": ("RAM 2448/62840MB SWAP 0/1982MB GR3D_FREQ 0%@76", None),
    "sensors that are off": ("VDD_IN 0mW/0mW VDD_SOC 0mW/0mW", None),
    "only the io": ("VIN_SYS_5V0 4767mW/4767mW", None),
}


@pytest.mark.parametrize("board", TEGRASTATS)
def test_the_power_of_a_board_is_that_of_the_whole_board_or_unknown(board: str) -> None:
    line, wanted = TEGRASTATS[board]
    assert tegrastats_power_mw(line) == wanted


def test_a_trial_beside_a_service_without_a_hal_notes_that_nobody_watched() -> None:
    found = parse.Parser()
    for text in ("D Thermal Status: 0|HAL Ready: false", "D Thermal Status: 0|HAL Ready: false"):
        found.feed(text)
    assert found.notes == [thermal_service.NO_HAL]
    assert found._status is None


@pytest.mark.parametrize(
    ("cpus", "fast", "threads", "wanted"),
    [
        (range(20), range(12), 1, (11,)),  # i9-13900H: P-cores 0-11
        (range(20), range(12), 4, (8, 9, 10, 11)),
        (range(20), range(12), 14, (18, 19, *range(12))),
        (range(8), (4, 5, 6, 7), 8, tuple(range(8))),  # all of a phone: none is left out
        (range(4), (), 1, (3,)),
        ((0, 1, 14, 15), range(12), 1, (1,)),  # only some of them are allowed
    ],
)
def test_measured_jobs_get_the_fast_cores_first(
    cpus: Any, fast: Any, threads: int, wanted: tuple[int, ...]
) -> None:
    facts = DeviceFacts("linux", "x86_64", "Linux", cpus=tuple(cpus), big_cpus=tuple(fast))
    assert chosen(in_order(tuple(cpus), facts), threads) == wanted


# ---- macOS --------------------------------------------------------------------------------------

WORKS = {
    "linux": DeviceFacts("linux", "x86_64", "Debian 12", python="3.11.2", libc="glibc"),
    "jetson": DeviceFacts("jetson", "aarch64", "Ubuntu 22.04", python="3.10.12", libc="glibc"),
    "android": DeviceFacts("android", "aarch64", "Android 14", libc="bionic"),
    "macos": DeviceFacts("macos", "arm64", "macOS 15.1", python="3.11.9"),
}


@pytest.mark.parametrize("kind", kinds.REGISTRY)
def test_every_kind_has_a_runtime_that_can_work_there(kind: str) -> None:
    offered = kinds.find(kind).SPEC.runtimes
    assert [name for name in offered if runtimes.find(name).lacks(WORKS[kind]) is None]
    nothing = DeviceFacts(kind, "riscv64", "?", libc="musl")
    for name in offered:
        assert runtimes.find(name).lacks(nothing)


def test_the_runner_needs_nothing_that_linux_alone_has(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "for name in ('sched_getaffinity', 'sched_setaffinity'): delattr(os, name)\n"
        "from harness.runner import memory, state, threads\n"
        "memory.STATUS = memory.CLEAR = threads.TASKS = pathlib.Path('/nonexistent/x')\n"
        "assert threads.keep_to((0,)) == tuple(range(os.cpu_count()))\n"
        "threads.limit_memory(1 << 40)\n"
        "phases = memory.Phases()\n"
        "for _ in range(4): phases.end()\n"
        "assert phases.record().how == 'end' and phases.highest_bytes > 10**6\n"
        "assert threads.cpu_ns() == {} and threads.count() == 0\n"
        "print(state.read_state().taken_at)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
