from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from series_for_tests import STATE, series

from harness.errors import StepFailed
from harness.monitor.preconditions import (
    DeviceLimits,
    limits_of,
    wait_until_quiet,
    wait_until_ready,
)
from harness.records import DeviceSpec, DeviceState, Reading

COOL = DeviceLimits(cool_below_c=45.0)
WARM = replace(STATE, hottest_c=61.0, temperatures_c={"skin": 38.0, "cpu-1": 61.0})
FINE = replace(STATE, hottest_c=44.0)


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now_s: float = 1000.0
    slept: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept.append(seconds)

    def wait(self, states: Sequence[DeviceState], limits: DeviceLimits):  # type: ignore[no-untyped-def]
        """The last of `states` stays."""
        left = list(states)
        return wait_until_ready(
            lambda: left.pop(0) if len(left) > 1 else left[0],
            limits,
            clock=lambda: self.now_s,
            sleep=self.sleep,
            on_wait=self.said.append,
        )


def test_a_cool_device_is_not_waited_for() -> None:
    time = Time()
    ready = time.wait([FINE], COOL)
    assert (ready.state, ready.flags, ready.notes, ready.waited_s) == (FINE, (), (), 0.0)
    assert time.slept == []


def test_a_hot_device_is_polled_every_five_seconds_until_it_is_cool() -> None:
    time = Time()
    ready = time.wait([WARM, WARM, FINE], COOL)
    assert time.slept == [5.0, 5.0]
    assert (ready.state, ready.flags, ready.waited_s) == (FINE, (), 10.0)
    assert time.said == ["waiting to cool: cpu-1 at 61 °C, limit 45 °C"] * 2


def test_after_ten_minutes_it_goes_on_and_says_so() -> None:
    time = Time()
    ready = time.wait([WARM], COOL)
    assert sum(time.slept) == 600.0
    assert ready.flags == ("still hot after 600 s of waiting: cpu-1 at 61 °C, limit 45 °C",)


def test_without_a_limit_heat_is_not_waited_for() -> None:
    assert Time().wait([WARM], DeviceLimits()).flags == ()


@pytest.mark.parametrize("value", [4095.0, -274.0, 4.095])
def test_a_temperature_that_cannot_be_is_not_waited_for(value: float) -> None:
    ready = Time().wait([replace(STATE, hottest_c=value)], COOL)
    assert ready.notes == (
        f"implausible reading {value:g} °C, ignored: did not wait for the device to cool",
    )


def test_a_sensor_that_never_cools_is_not_waited_for() -> None:
    jetson = replace(FINE, hottest_c=100.0, temperatures_c={"PMIC-Die": 100.0, "CPU-therm": 44.5})
    assert Time().wait([jetson], COOL).flags == ()


def test_a_state_without_names_counts_by_its_hottest() -> None:
    assert Time().wait([replace(STATE, hottest_c=61.0)], COOL).flags == (
        "still hot after 600 s of waiting: hottest sensor at 61 °C, limit 45 °C",
    )


def test_no_sensor_is_a_note() -> None:
    assert Time().wait([STATE], COOL).notes == (
        "no temperature readings: did not wait for the device to cool",
    )


def test_a_low_battery_stops_it() -> None:
    with pytest.raises(StepFailed) as error:
        Time().wait([replace(FINE, battery_percent=29.4, charging=True)], COOL)
    assert error.value.message == "battery at 29 %, at least 30 % required (charging)"


def test_a_battery_that_runs_low_while_it_waits_stops_it() -> None:
    with pytest.raises(StepFailed, match="^battery at 12 %"):
        Time().wait([WARM, replace(WARM, battery_percent=12.0)], COOL)


def test_a_full_storage_stops_it() -> None:
    with pytest.raises(StepFailed) as error:
        Time().wait([replace(FINE, storage_free_bytes=5_000_000)], COOL)
    assert error.value.message == "5 MB free, a trial requires 67 MB"


def test_charging_is_noted() -> None:
    ready = Time().wait([replace(FINE, battery_percent=30.0, charging=True)], COOL)
    assert ready.notes == ("the device was charging, which heats it and raises power limits",)


def test_limits_come_from_the_devices_file() -> None:
    spec = DeviceSpec("p", "android", "adb", cool_below_c=38.0, min_battery_percent=50.0)
    assert limits_of(spec, 1) == DeviceLimits(38.0, 50.0, 1)


# ---- background load ----------------------------------------------------------------------------


def quiet(batches: Sequence[list[Reading]], over: bool = False) -> tuple[tuple[str, ...], Time]:
    time, left = Time(), list(batches)
    flags = wait_until_quiet(
        lambda: left.pop(0) if len(left) > 1 else left[0],
        lambda: over,
        clock=lambda: time.now_s,
        sleep=time.sleep,
        on_wait=time.said.append,
    )
    return flags, time


CALM = {"busy_percent": {"0": 2.0, "4": 1.0}}


def test_a_quiet_device_needs_two_seconds_of_readings() -> None:
    flags, time = quiet([[], series(2, **CALM), series(5, **CALM)])  # type: ignore[arg-type]
    assert flags == ()
    assert time.slept == [0.5, 0.5]


def test_others_are_waited_for() -> None:
    busy = series(6, busy_percent={"0": 95.0, "4": 10.0})
    flags, time = quiet([busy, series(8, **CALM)])  # type: ignore[arg-type]
    assert (flags, time.slept) == ((), [5.0])
    assert time.said == ["waiting: background load: the CPUs were 52 % busy before the trial"]


@pytest.mark.parametrize(
    ("load", "flag"),
    [
        (
            {"cpu_pressure_percent": 40.0},
            "background load: tasks waited for a CPU 40 % of the time before the trial",
        ),
        (
            {"steal_percent": 3.0},
            "background load: the hypervisor took 3.0 % of the time before the trial",
        ),
    ],
)
def test_after_half_a_minute_it_goes_on_and_says_so(load: dict[str, object], flag: str) -> None:
    flags, time = quiet([series(6, **{**CALM, **load})])  # type: ignore[arg-type]
    assert flags == (flag,)
    assert sum(time.slept) == 30.0


def test_load_that_is_over_does_not_count() -> None:
    loud = series(20, cpu_pressure_percent=90.0, busy_percent={"0": 99.0})[:12]
    calm = series(20, **CALM)[12:]  # type: ignore[arg-type]
    assert quiet([loud + calm])[0] == ()


def test_a_sampler_that_is_over_is_not_waited_for() -> None:
    assert quiet([[]], over=True) == ((), Time())
