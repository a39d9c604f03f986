from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from series_for_tests import BEGAN_S, series

from harness.monitor.energy import energy_of, window_of
from harness.records import Energy, Reading, Watched

IDLE = (BEGAN_S, BEGAN_S + 3)
LOOP = (BEGAN_S + 4, BEGAN_S + 14)
RANGE_UJ = 262_143_328_850


def watched(fields: list[dict[str, object]], **options: object) -> Watched:
    readings = [replace(r, **f) for r, f in zip(series(len(fields)), fields, strict=True)]  # type: ignore[arg-type]
    return Watched(tuple(readings), **options)  # type: ignore[arg-type]


def counted(start_uj: int = 10**9, limit_uj: int = RANGE_UJ) -> Watched:
    """10 W for 4 s, then 25 W."""
    rail = "RAPL package-0"
    counts = [start_uj]
    for i in range(1, 29):
        counts.append(counts[-1] + (5_000_000 if i <= 8 else 12_500_000))
    ranges = {rail: limit_uj} if limit_uj else {}
    modulus = limit_uj or RANGE_UJ
    return watched([{"energy_uj": {rail: c % modulus}} for c in counts], counter_range_uj=ranges)


def metered(name: str, idle_w: float, load_w: float, **more: float) -> Watched:
    return watched([{"power_w": {name: idle_w if i < 8 else load_w, **more}} for i in range(29)])


def test_a_counter_gives_energy_less_what_idling_takes() -> None:
    energy = energy_of(counted(), LOOP, 1000, IDLE)
    assert energy == Energy(
        per_inference_mj=pytest.approx(150.0),
        idle_w=pytest.approx(10.0),
        mean_w=pytest.approx(25.0),
        tier="on-board rail: RAPL package-0",
        note="idle power of 10 W subtracted",
    )


def test_a_counter_that_wraps_is_followed() -> None:
    wrapping = counted(start_uj=RANGE_UJ - 80_000_000)
    values = [r.energy_uj["RAPL package-0"] for r in wrapping.readings]
    assert any(b < a for a, b in zip(values, values[1:], strict=False))
    assert energy_of(wrapping, LOOP, 1000, IDLE).per_inference_mj == pytest.approx(150.0)


def test_a_source_that_was_read_for_a_part_of_the_loop_gives_nothing() -> None:
    whole = counted()
    part = replace(whole, readings=tuple(
        r if r.at_s < LOOP[0] + 2 else replace(r, energy_uj={}) for r in whole.readings
    ))  # fmt: skip
    energy = energy_of(part, LOOP, 1000, IDLE)
    assert energy.per_inference_mj is None
    assert energy.note == "no readings for 8 s of the timed loop"


def test_a_counter_that_was_set_back_is_no_wrap() -> None:
    whole = counted()
    name = "RAPL package-0"
    reset = replace(whole, readings=tuple(
        r if r.at_s < LOOP[0] + 5 else replace(r, energy_uj={name: r.energy_uj[name] - 10**9})
        for r in whole.readings
    ))  # fmt: skip
    energy = energy_of(reset, LOOP, 1000, IDLE)
    assert energy.per_inference_mj is None
    assert energy.note == "implausible 522312 W: the counter was reset"


def test_a_small_counter_that_was_set_back_is_no_wrap_either() -> None:
    """Over the whole loop it would pass for 3.5 kW at 65 kJ a turn, and for 580 W over a minute."""
    limit_uj, name = 65_532_610_987, "RAPL package-0"
    whole = counted(start_uj=30 * 10**9, limit_uj=limit_uj)
    reset = replace(whole, readings=tuple(
        r if r.at_s < LOOP[0] + 5 else replace(r, energy_uj={name: r.energy_uj[name] - 30 * 10**9})
        for r in whole.readings
    ))  # fmt: skip
    energy = energy_of(reset, LOOP, 1000, IDLE)
    assert energy.per_inference_mj is None
    assert energy.note.endswith("W: the counter was reset")


def test_a_wrap_without_a_known_range_is_unknown() -> None:
    energy = energy_of(counted(start_uj=RANGE_UJ - 80_000_000, limit_uj=0), LOOP, 1000, IDLE)
    assert energy.per_inference_mj is None
    assert energy.note == "RAPL package-0 went backwards, and its range is unknown"


def test_two_packages_are_added() -> None:
    both = Watched(
        tuple(
            replace(r, energy_uj={**r.energy_uj, "RAPL package-1": r.energy_uj["RAPL package-0"]})
            for r in counted().readings
        )
    )
    energy = energy_of(both, LOOP, 1000, IDLE)
    assert energy.per_inference_mj == pytest.approx(300.0)
    assert energy.tier == "on-board rail: RAPL package-0 + RAPL package-1"


def test_the_boards_input_is_taken_alone() -> None:
    board = metered("INA3221 VDD_IN", 5.0, 12.0, **{"INA3221 VDD_CPU_GPU_CV": 4.0})
    energy = energy_of(board, LOOP, 500, IDLE)
    assert energy.per_inference_mj == pytest.approx(140.0)
    assert energy.tier == "on-board rail: INA3221 VDD_IN"


def test_an_agx_orins_supplies_are_added_and_what_one_of_them_feeds_is_not() -> None:
    rails = {
        "INA3221 VDD_CPU_CV": 2.0,
        "INA3221 VIN_SYS_5V0": 4.0,
        "INA3221 VDDQ_VDD2_1V8AO": 9.0,
        "INA3221 NC": 7.0,
    }
    energy = energy_of(metered("INA3221 VDD_GPU_SOC", 1.0, 3.0, **rails), LOOP, 100, IDLE)
    assert energy.tier == "on-board rail: INA3221 VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    assert (energy.mean_w, energy.idle_w) == (pytest.approx(9.0), pytest.approx(7.0))


def test_a_thors_input_is_that_of_its_other_monitor() -> None:
    rails = {"INA3221 VDD_GPU": 5.0, "INA3221 VIN_SYS_5V0": 6.0}
    energy = energy_of(metered("INA238 VIN", 20.0, 30.0, **rails), LOOP, 500, IDLE)
    assert (energy.tier, energy.mean_w) == ("on-board rail: INA238 VIN", pytest.approx(30.0))


def test_rails_that_are_not_known_to_be_the_board_are_no_energy() -> None:
    energy = energy_of(
        metered("INA3221 VIN_SYS_5V0", 4.0, 5.0, **{"INA3221 x": 1.0}), LOOP, 9, IDLE
    )
    assert (energy.mean_w, energy.per_inference_mj) == (None, None)
    assert energy.note == "unknown whether its rails (VIN_SYS_5V0, x) cover the whole board"


def test_rails_in_another_unit_are_no_energy() -> None:
    energy = energy_of(metered("INA3221 VDD_IN", 4000.0, 5000.0), LOOP, 9, IDLE)
    assert (energy.mean_w, energy.note) == (
        None, "implausible 5000 W: the sensor uses another unit",
    )  # fmt: skip


def gauge(load_w: float = 3.0, charging: bool | None = False, moving: float = 0.1) -> Watched:
    return watched(
        [
            {"power_w": {"battery": load_w + moving * (i % 5)}, "charging": charging}
            for i in range(29)
        ]
    )


def test_a_battery_gauge_is_the_last_choice_and_says_that_idling_is_in_it() -> None:
    energy = energy_of(gauge(), (LOOP[0] - 0.5, LOOP[1]), 100, IDLE)
    assert energy.tier == "battery gauge"
    assert energy.per_inference_mj == pytest.approx(1e3 * 3.2 * 10.5 / 100, rel=0.02)
    assert energy.idle_w is None
    assert energy.note == (
        "idle power not subtracted: a battery gauge needs 10 s; use profile full"
    )


@pytest.mark.parametrize(
    ("seen", "note"),
    [
        (
            gauge(charging=True),
            "charging: the battery's current is not the device's",
        ),
        (
            gauge(charging=None),
            "charging: the battery's current is not the device's",
        ),
        (gauge(moving=0.0), "the battery gauge did not change during the timed loop"),
        (gauge(load_w=1e-3, moving=1e-6), "implausible 0.001 W: the gauge does not use µA"),
        (Watched(), "no readings"),
        (
            Watched(tuple(series(4))),
            "no power sensor (RAPL, INA3221 or battery gauge)",
        ),
        (
            Watched(tuple(series(4)), unreadable=("rapl_uj",)),
            "RAPL is readable by root only: `chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`",
        ),
        (
            Watched(tuple(series(4)), unreadable=("battery_current_now", "temperature")),
            "no permission to read its power sensors (battery_current_now)",
        ),
        (
            watched([{"energy_uj": {"RAPL package-0": 7}}] * 29),
            "RAPL package-0 did not change (virtual machine?)",
        ),
        (
            Watched((Reading(LOOP[0], energy_uj={"RAPL package-0": 7}),)),
            "1 power readings in the window (at least 2); use profile full",
        ),
    ],
)
def test_what_cannot_be_trusted_is_none_and_says_why(seen: Watched, note: str) -> None:
    energy = energy_of(seen, LOOP, 100, IDLE)
    assert (energy.per_inference_mj, energy.mean_w, energy.note) == (None, None, note)


def test_a_job_that_does_not_show_is_not_a_negative_energy() -> None:
    energy = energy_of(metered("INA3221 VDD_IN", 5.0, 4.9), LOOP, 100, IDLE)
    assert energy.per_inference_mj is None
    assert energy.note == (
        "4.9 W under load is not above 5 W idle: this source does not resolve the job"
    )


def test_without_an_idle_window_nothing_is_subtracted_and_it_says_so() -> None:
    energy = energy_of(metered("INA3221 VDD_IN", 5.0, 12.0), LOOP, 1000)
    assert energy.per_inference_mj == pytest.approx(120.0)
    assert energy.note == "idle power not subtracted: idle power not measured"


@pytest.mark.parametrize(("window", "count"), [(None, 5), (LOOP, 0)])
def test_no_inference_no_energy(window: tuple[float, float] | None, count: int) -> None:
    assert energy_of(counted(), window, count) == Energy(note="no timed inferences")


def test_the_window_is_from_the_first_sample_to_the_end_of_the_last() -> None:
    start, latency = np.array([5, 6, 8]) * 10**9, np.array([1, 2, 3]) * 10**8
    assert window_of(start, latency, 100.0) == (105.0, 108.3)
    assert window_of(start[:0], latency[:0]) is None
