from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from series_for_tests import BEGAN_S, STATE, series

from harness.monitor.judge import UNALIGNED, Verdicts, judge_state
from harness.records import DeviceState, Reading

WINDOW = (BEGAN_S, BEGAN_S + 9.5)


def judge(readings: list[Reading], **options: object) -> Verdicts:
    options = {"cpus": (4,), "window": WINDOW, **options}
    return judge_state(readings, STATE, STATE, **options)  # type: ignore[arg-type]


def test_a_steady_device_has_nothing_against_it() -> None:
    assert judge(series()) == Verdicts(None)


# ---- void --------------------------------------------------------------------------------------


def test_a_phone_that_is_heated_in_the_middle_is_void() -> None:
    heat = [45.0] * 8 + [45.0 + 5 * i for i in range(1, 9)] + [85.0] * 4
    clock = [2_841_600] * 12 + [1_500_000] * 8
    readings = [
        replace(r, cooling={"thermal-cpufreq-4": 0 if r.at_s < BEGAN_S + 6 else 9})
        for r in series(khz=clock, celsius=heat)
    ]
    verdicts = judge(readings)
    assert verdicts.void == (
        "throttled: by the kernel (cooling device thermal-cpufreq-4 from 0 to 9)"
    )
    assert verdicts.flags == (
        "throttled: the clock of cpu4 fell from 2.84 GHz to 1.5 GHz (47 %) under load; let "
        "the device cool, or fix a lower clock",
        "cpu-1-0-usr heated up by 40 °C, from 45 °C; warm up longer or improve cooling",
    )


def test_a_clock_that_falls_under_load_is_enough() -> None:
    assert str(judge(series(khz=[2_800_000] * 10 + [2_400_000] * 10)).void).startswith(
        "throttled: the clock of cpu4 fell from 2.8 GHz to 2.4 GHz (14 %) under load"
    )


@pytest.mark.parametrize("odd", [0, 7, 19])
def test_one_odd_reading_of_a_clock_is_no_verdict(odd: int) -> None:
    clock = [2_800_000] * 20
    clock[odd] = 600_000
    assert judge(series(khz=clock)) == Verdicts(None)


def test_a_clock_that_rests_when_there_is_no_work_has_not_throttled() -> None:
    readings = series(khz=[2_800_000] * 10 + [600_000] * 10)
    idle = [replace(r, busy_percent={"4": 5.0}) for r in readings[10:]]
    assert judge(readings[:10] + idle).void is None


def test_the_clock_of_a_cpu_that_the_job_does_not_use_does_not_count() -> None:
    assert judge(series(khz=[2_800_000] * 10 + [900_000] * 10), cpus=(0,)).void is None


def test_a_clock_that_falls_before_the_timed_loop_is_not_its_business() -> None:
    readings = series(khz=[3_800_000] * 8 + [2_800_000] * 12)
    assert judge(readings, window=(BEGAN_S + 4, BEGAN_S + 9.5)) == Verdicts(None)


@pytest.mark.parametrize("seconds", [3, 10, 30])
def test_jitter_of_a_clock_is_no_move_and_a_fall_is_found_in_it(seconds: int) -> None:
    random = np.random.default_rng(1)
    count = 2 * seconds
    half = np.where(np.arange(count) < count // 2, 1.0, 0.8)
    for _ in range(100):
        quiet = 2.8e6 * (1 + random.normal(0, 0.01, count))
        loud = 2.8e6 * half * (1 + random.normal(0, 0.03, count))
        options = {"window": None, "cpus": (4,)}
        assert judge(series(count, khz=quiet.astype(int).tolist()), **options) == Verdicts(None)
        assert judge(series(count, khz=loud.astype(int).tolist()), **options).void


@pytest.mark.parametrize(("status", "word"), [(1, "light"), (3, "severe"), (9, "shutdown")])
def test_androids_word_is_taken(status: int, word: str) -> None:
    assert judge(series(thermal_status=status)).void == (
        f"throttled: reported by the system (thermal status {status}, {word}); let the device cool"
    )
    assert judge(series(thermal_status=0)).void is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_kinds_word_is_taken(when: str) -> None:
    states = {"before": STATE, "after": STATE, when: replace(STATE, throttled=True)}
    verdicts = judge_state(series(), **states, cpus=(4,))
    assert (
        verdicts.void == f"throttled: reported by the system {when} the trial; let the device cool"
    )


def test_events_that_the_hardware_counts_are_throttling() -> None:
    readings = series()
    rising = [replace(r, throttle_counts={"oc1_event_cnt": 3 + i // 15}) for i, r in
              enumerate(readings)]  # fmt: skip
    assert judge(rising).void == (
        "throttled: oc1_event_cnt rose from 3 to 4; check cooling and power supply"
    )
    assert judge(series(throttle_counts={"oc1_event_cnt": 15})).void is None


@pytest.mark.parametrize(
    ("field", "name", "states", "void"),
    [
        ("throttle_counts", "cpu4 core_throttle_count", [120, 0, 5], "rose from 0 to 5; check"),
        ("throttle_counts", "cpu4 core_throttle_count", [120, 0, 0], None),  # it was off
        (
            "cooling",
            "thermal-cpufreq-4",
            [3, 0, 2],
            "(cooling device thermal-cpufreq-4 from 0 to 2)",
        ),
        ("cooling", "thermal-cpufreq-4", [3, 2, 0], None),
        ("cooling", "intel_powerclamp", [-1, 0, -1], None),
    ],
)
def test_what_falls_and_rises_again_within_a_trial_has_risen(
    field: str, name: str, states: list[int], void: str | None
) -> None:
    readings = [
        replace(r, **{field: {name: states[i // 7]}})  # type: ignore[arg-type]
        for i, r in enumerate(series(21))
    ]
    said = judge(readings).void
    assert said is None if void is None else void in str(said)


def test_a_lower_limit_of_the_clock_is_throttling() -> None:
    readings = series()
    capped = [replace(r, limit_khz={"0": 900_000, "4": 1_862_400}) for r in readings[12:]]
    assert judge(readings[:12] + capped).void == (
        "throttled: the system lowered the clock limit of cpu4 from 2.84 GHz to 1.86 GHz"
    )


def test_heat_after_the_timed_loop_does_not_matter() -> None:
    readings = series(khz=[2_800_000] * 10 + [900_000] * 10)
    late = [replace(r, cooling={"thermal-cpufreq-4": 3}) for r in readings[10:]]
    early = [replace(r, cooling={"thermal-cpufreq-4": 0}) for r in readings[:10]]
    assert judge(early + late, window=(BEGAN_S, BEGAN_S + 4.5)) == Verdicts(None)


@pytest.mark.parametrize("name", ["pwm-fan", "cpu-fan", "panel0-backlight", "modem", "battery"])
def test_what_cools_without_slowing_is_no_throttling(name: str) -> None:
    readings = [replace(r, cooling={name: i}) for i, r in enumerate(series())]
    assert judge(readings) == Verdicts(None)


def test_all_reasons_of_a_void_trial_are_told() -> None:
    verdicts = judge(series(khz=[2_800_000] * 10 + [1_000_000] * 10, thermal_status=2))
    assert str(verdicts.void).startswith("throttled: reported by the system")
    assert verdicts.flags[0].startswith("throttled: the clock of cpu4 fell")


# ---- flags -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        (
            {"khz": [2_800_000] * 10 + [2_600_000] * 10},
            "the clock of cpu4 moved by -7 % within the trial; fix the governor",
        ),
        (
            {"khz": [2_400_000] * 10 + [2_800_000] * 10},
            "the clock of cpu4 moved by +17 % within the trial; fix the governor",
        ),
        (
            {"cooling": {"thermal-cpufreq-4": 2, "fan": 7}},
            "slowed down from the start (cooling device thermal-cpufreq-4 at 2); "
            "let the device cool first",
        ),
        (
            {"celsius": [40.0 + i for i in range(20)]},
            "cpu-1-0-usr heated up by 17 °C, from 41 °C; warm up longer or improve cooling",
        ),
        (
            {"cpu_pressure_percent": 31.0},
            "background load: tasks waited for a CPU 31 % of the time during the trial",
        ),
        (
            {"busy_percent": {"0": 71.0, "4": 99.0}},
            "background load: CPUs not in use by the trial were 71 % busy; stop other processes",
        ),
        (
            {"steal_percent": 4.0},
            "background load: the hypervisor took 4.0 % of the time during the trial",
        ),
        (
            {"memory_pressure_percent": 8.0},
            "tasks waited for memory 8 % of the time; free some memory",
        ),
        ({"battery_percent": 22.0}, "battery at 22 % (at least 30 %); charge it"),
    ],
)
def test_what_does_not_void_it_is_flagged(change: dict[str, object], flag: str) -> None:
    assert judge(series(**change)) == Verdicts(None, (flag,))  # type: ignore[arg-type]


def test_the_batterys_limit_is_the_devices() -> None:
    assert judge(series(battery_percent=22.0), min_battery_percent=20.0) == Verdicts(None)


def test_a_sensor_that_vanishes_is_named() -> None:
    readings = series()
    gone = [replace(r, temperatures_c={}) for r in readings[10:]]
    assert judge(readings[:10] + gone).flags == (
        "temperature sensor cpu-1-0-usr: no more readings; temperature not monitored to the end",
    )


def test_a_sensor_that_misses_one_reading_has_not_vanished() -> None:
    readings = series()
    readings[-1] = replace(readings[-1], temperatures_c={})
    assert judge(readings) == Verdicts(None)


@pytest.mark.parametrize("value", [4.095, 4095.0, -274.0, 0.0, -99.9])
def test_a_temperature_that_cannot_be_is_named(value: float) -> None:
    broke = judge(series(celsius=[50.0] * 10 + [value] * 10))
    assert broke.flags == (
        f"temperature sensor cpu-1-0-usr: implausible reading {value:g} °C, ignored; temperature "
        "not monitored to the end",
    )
    never = judge(series(celsius=value))
    assert never.flags == (
        f"temperature sensor cpu-1-0-usr: implausible reading {value:g} °C, ignored; temperature "
        "not monitored",
    )


def test_a_dead_sensor_beside_a_good_one_is_a_note() -> None:
    readings = [
        replace(r, temperatures_c={**r.temperatures_c, "modem": -274.0, "usb": 0.0})
        for r in series()
    ]
    assert judge(readings) == Verdicts(
        None,
        (),
        ("2 sensors with implausible readings, ignored: modem -274 °C, usb 0 °C",),
    )


def test_a_sampler_that_was_lost_leaves_the_state_unknown() -> None:
    assert judge(series()[:6]).flags == ("no readings for 7 s of the timed loop: state unknown",)
    before_the_loop = judge(series()[:6], window=(BEGAN_S + 10, BEGAN_S + 30))
    assert before_the_loop.flags == ("no readings for 20 s of the timed loop: state unknown",)


@pytest.mark.parametrize("value", [4095.0, None])
def test_a_sensor_that_is_blind_in_the_middle_is_named(value: float | None) -> None:
    readings = series(40)
    blind = {} if value is None else {"cpu-1-0-usr": value}
    readings[5:35] = [replace(r, temperatures_c=blind) for r in readings[5:35]]
    assert "no readings of temperature sensor cpu-1-0-usr for 16 s of the trial" in (
        judge(readings, window=(BEGAN_S, BEGAN_S + 20)).flags
    )


def test_a_clock_that_is_no_longer_told_is_named() -> None:
    readings = series(40)
    readings[8:] = [replace(r, frequency_khz={}) for r in readings[8:]]
    assert judge(readings, window=(BEGAN_S, BEGAN_S + 20)).flags == (
        "no readings of the clock of cpu4 for 16 s of the trial",
    )


# ---- notes -------------------------------------------------------------------------------------


def test_nothing_seen_is_a_note_and_of_a_long_loop_a_flag() -> None:
    notes = ("no readings during the trial: state unknown",)
    assert judge([], window=(BEGAN_S, BEGAN_S + 3)) == Verdicts(None, (), notes)
    assert judge([], window=(BEGAN_S, BEGAN_S + 60)).flags == (
        "no readings for 60 s of the timed loop: state unknown",
    )


def test_a_machine_without_sensors_says_so() -> None:
    readings = [Reading(BEGAN_S + i / 2, busy_percent={"4": 99.0}) for i in range(20)]
    assert judge(readings) == Verdicts(
        None,
        (),
        (
            "this device does not report its clock: drops cannot be detected",
            "this device has no readable temperature sensor",
        ),
    )


def test_a_short_loop_says_that_its_clock_was_not_judged() -> None:
    readings = series(khz=[2_800_000, 2_800_000, 900_000] + [900_000] * 17)
    verdicts = judge(readings, window=(BEGAN_S, BEGAN_S + 1.2))
    assert verdicts == Verdicts(
        None, (), ("3 readings under load are too few to detect a drop of the clock (at least 6)",)
    )


@pytest.mark.parametrize("count", [4, 5])
@pytest.mark.parametrize("odd", [0, 1, 2, -1])
def test_of_few_readings_one_odd_one_voids_nothing(count: int, odd: int) -> None:
    clock = [2_800_000] * count
    clock[odd] = 600_000
    verdicts = judge(series(count, khz=clock), window=(BEGAN_S, BEGAN_S + count / 2))
    assert (verdicts.void, verdicts.flags) == (None, ())
    assert "are too few to detect a drop of the clock" in verdicts.notes[0]


def test_six_readings_are_enough_to_see_a_clock_fall() -> None:
    window = (BEGAN_S, BEGAN_S + 3)
    assert judge(series(6, khz=[2_800_000] * 3 + [900_000] * 3), window=window).void
    assert judge(series(6, khz=[2_800_000] * 5 + [900_000]), window=window) == Verdicts(None)


def test_a_thermal_service_that_stops_answering_is_named() -> None:
    told, silent = series(10, thermal_status=1), series(20)[10:]
    assert judge(told + silent).flags == (
        "the thermal service stopped answering; throttling not monitored to the end",
    )
    assert judge(series(thermal_status=0)) == Verdicts(None)


def test_charging_is_noted() -> None:
    assert judge(series(charging=True)).notes == (
        "the device was charging, which heats it and raises power limits",
    )


@pytest.mark.parametrize("window", [(1.0, 9.0), (90_000.0, 90_010.0)])
def test_another_clock_is_seen_and_all_readings_are_judged(window: tuple[float, float]) -> None:
    verdicts = judge(series(khz=[2_800_000] * 10 + [1_400_000] * 10), window=window)
    assert verdicts.notes == (UNALIGNED,)
    assert str(verdicts.void).startswith("throttled: the clock of cpu4 fell")


def test_absurd_states_are_no_crash() -> None:
    absurd = DeviceState("", frequency_khz=(0,), hottest_c=4095.0, battery_percent=-1.0)
    readings = [
        Reading(5.0, frequency_khz={"x": 0}, limit_khz={"4": 0}),
        Reading(4.0),
        Reading(4.0),
    ]
    assert judge_state(readings, absurd, absurd).flags == (
        "battery at -1 % (at least 30 %); charge it",
    )
