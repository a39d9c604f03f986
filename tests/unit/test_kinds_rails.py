"""The power of a Jetson is that of its whole board, each rail counted once, or unknown."""

from __future__ import annotations

import pytest

from harness.kinds.rails import board, tegrastats_power_mw

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


@pytest.mark.parametrize(
    ("rails", "used"),
    [
        (("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), ("VDD_IN",)),
        (("VDD_MUX", "VDD_IN", "VDD_5V0_IO_SYS"), ("VDD_IN",)),  # a carrier's, around the module
        (("VIN_SYS_5V0", "VDD_CPU_CV", "VDD_GPU_SOC", "VDDQ_VDD2_1V8AO", "NC"),
         ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        (("VIN_SYS_5V0",), ()),
        (("VDD_GPU_SOC", "VDD_CPU_CV"), ()),
        (("channel 1", "channel 2"), ()),
        ((), ()),
    ],
)  # fmt: skip
def test_which_rails_make_up_the_board(rails: tuple[str, ...], used: tuple[str, ...]) -> None:
    assert board(rails) == used
