from __future__ import annotations

import pytest

from harness.kinds import thermal_service
from harness.monitor.parse import Parser
from harness.records import Reading

PHONE = """\
B 4711 0.5
H frequency devices/system/cpu/cpu0/cpufreq/scaling_cur_freq 0 1
H limit devices/system/cpu/cpu0/cpufreq/scaling_max_freq 0 1
H frequency devices/system/cpu/cpu4/cpufreq/scaling_cur_freq 4
H count devices/system/cpu/cpu4/thermal_throttle/core_throttle_count cpu4 core_throttle_count
H temperature class/thermal/thermal_zone0/temp cpu-thermal
H temperature class/thermal/thermal_zone1/temp cpu-thermal
H temperature class/thermal/thermal_zone2/temp
H cooling class/thermal/cooling_device0/cur_state thermal-cpufreq-0
H rail_mv class/hwmon/hwmon1/in1_input VDD_IN
H rail_ma class/hwmon/hwmon1/curr1_input VDD_IN
H rapl_uj class/powercap/intel-rapl:0/energy_uj 262143328850 package-0
H battery_current_now class/power_supply/battery/current_now battery
H battery_voltage_now class/power_supply/battery/voltage_now battery
H battery_capacity class/power_supply/battery/capacity battery
H battery_status class/power_supply/battery/status battery
U temperature class/thermal/thermal_zone3/temp
"""
FIRST = (
    "T 100.00 total=5000 total=0 2000000 1800000 1900000 2841600 7 45000 -274000 - 0 5000 1000 99 "
    "-215000 4000000 87 Discharging | 0,100,0,0,900,0,0,0,0 4,0,0,0,1000,0,0,0,0"
)
SECOND = (
    "T 100.50 total=55000 total=1000 1900000 1700000 1800000 2000000 8 46000 4095 51000 2 5000 "
    "1200 120 -230000 4000000 86 Charging | 0,110,0,0,939,0,0,0,1 4,48,0,0,1000,2,0,0,0"
)


def fed(text: str) -> tuple[Parser, list[Reading]]:
    parser = Parser()
    readings = [parser.feed(line) for line in text.splitlines()]
    return parser, [reading for reading in readings if reading]


def test_a_tick_becomes_a_reading_in_units() -> None:
    parser, (first, second) = fed(PHONE + FIRST + "\n" + SECOND)
    assert first == Reading(
        at_s=100.0,
        frequency_khz={"0": 1_800_000, "1": 1_800_000, "4": 2_841_600},
        limit_khz={"0": 1_900_000, "1": 1_900_000},
        temperatures_c={"cpu-thermal": 45.0, "cpu-thermal#2": -274.0},
        cooling={"thermal-cpufreq-0": 0},
        throttle_counts={"cpu4 core_throttle_count": 7},
        memory_available_bytes=2_048_000_000,
        power_w={"INA3221 VDD_IN": 5.0, "battery": 0.86},
        energy_uj={"RAPL package-0": 99},
        battery_percent=87.0,
        charging=False,
    )
    assert second.temperatures_c == {
        "cpu-thermal": 46.0,
        "cpu-thermal#2": 4.095,
        "thermal_zone2": 51.0,
    }
    assert second.charging is True
    assert parser.counter_range_uj == {"RAPL package-0": 262143328850}
    assert (parser.pid, parser.unreadable, parser.damaged) == (4711, ["temperature"], 0)


def test_shares_are_of_the_time_between_two_ticks() -> None:
    _, (first, second) = fed(PHONE + FIRST + "\n" + SECOND)
    assert first.busy_percent == {}
    assert first.cpu_pressure_percent is None
    assert second.busy_percent == {"0": 20.0, "4": 96.0}
    assert second.steal_percent == 1.0
    assert second.cpu_pressure_percent == 10.0
    assert second.memory_pressure_percent == 0.2


def test_a_clock_or_counter_that_goes_backwards_says_nothing() -> None:
    lines = "T 9.0 total=9 total=9 1 | 0,5,0,0,5,0,0,0,0\nT 8.0 total=8 - 1 | 0,4,0,0,4,0,0,0,0"
    _, (_, second) = fed(lines)
    assert second == Reading(8.0, memory_available_bytes=1024)


def test_a_counter_that_begins_again_says_nothing() -> None:
    lines = (
        "T 9.0 total=90 total=9 1 | 0,5,0,0,5,0,0,0,0\nT 9.5 total=5 total=9 1 | 0,2,0,0,9,0,0,0,0"
    )
    _, (_, second) = fed(lines)
    assert (second.cpu_pressure_percent, second.memory_pressure_percent) == (None, 0.0)
    assert second.busy_percent == {}


@pytest.mark.parametrize(
    "line",
    [
        "T",
        "T 1.0",
        "T 1.0 total=1 total=1 5 1 2 3 | ",
        "T nan total=1 total=1 5 | 0,1,2,3,4,5,6,7,8",
        "T x - - - | ",
        "T 1.0 - - -",
        "Segmentation fault",
    ],
)
def test_a_damaged_line_is_counted_and_skipped(line: str) -> None:
    parser, readings = fed(f"{line}\nT 2.0 - - - |")
    assert readings == [Reading(2.0)]
    assert parser.damaged == 1


def test_words_that_are_no_numbers_are_no_readings() -> None:
    header = "H temperature class/thermal/thermal_zone0/temp cpu\n"
    _, (reading,) = fed(header + "T 1.0 total=x ? lots <1> | 0,a,b 1,1,2")
    assert reading == Reading(1.0)


def test_the_thermal_service_counts_from_its_next_tick_on() -> None:
    said = (
        "D Thermal Status: 2|Current temperatures from HAL:"
        "|Temperature{mValue=41.5, mType=0, mName=AP, mStatus=0}"
        "|Temperature{mValue=-99.9, mType=5, mName=PA, mStatus=0}"
    )
    _, (before, after) = fed(f"T 1.0 - - - |\n{said}\nT 1.5 - - - |")
    assert (before.thermal_status, before.temperatures_c) == (None, {})
    assert (after.thermal_status, after.temperatures_c) == (2, {"hal AP": 41.5})


def test_a_thermal_service_that_hangs_is_not_taken_at_its_last_word() -> None:
    said = (
        "D Thermal Status: 0|Current temperatures from HAL:"
        "|Temperature{mValue=41.5, mType=0, mName=AP, mStatus=0}"
    )
    ticks = "\n".join(f"T {second}.0 - - - |" for second in range(10, 50))
    _, readings = fed(f"{said}\n{ticks}")
    known = [r.at_s for r in readings if r.thermal_status == 0 and r.temperatures_c]
    assert known == [float(second) for second in range(10, 40)]  # three questions unanswered
    _, readings = fed(f"{said}\n{ticks}\n{said}\nT 50.0 - - - |")
    assert readings[-1].temperatures_c == {"hal AP": 41.5}


@pytest.mark.parametrize("said", ["D ", "D", "D Thermal Status: ?", "D |Temperature{mValue=x"])
def test_a_service_that_says_nothing_is_unknown(said: str) -> None:
    parser, readings = fed(f"{said}\nT 1.0 - - - |")
    assert readings == [Reading(1.0)]
    assert parser.damaged == 0


def test_its_own_cost_is_its_and_its_childrens_time_over_its_life() -> None:
    end = "Q 20.0\n0m0.010000s 0m0.020000s\n0m00.05s 0m00.12s"
    parser, _ = fed(f"T 10.0 - - - |\n{end}")
    assert parser.ended
    assert parser.cpu_percent == pytest.approx(2.0)


def test_what_it_says_of_itself_is_kept() -> None:
    parser, _ = fed("H root /fake\nX deadline reached")
    assert parser.notes == [
        "state is read from /fake, not from the system's files",
        "the sampler ended: deadline reached",
    ]


BATTERY = """\
H battery_current_now class/power_supply/BAT0/current_now BAT0
H battery_voltage_now class/power_supply/BAT0/voltage_now BAT0
H battery_capacity class/power_supply/BAT0/capacity BAT0
H battery_status class/power_supply/BAT0/status BAT0
H battery_capacity class/power_supply/BAT1/capacity BAT1
H battery_status class/power_supply/BAT1/status BAT1
"""


@pytest.mark.parametrize(
    ("values", "watts", "percent", "charging"),
    [
        ("-215000 4000000 87 Discharging 43 Unknown", 0.86, 65.0, False),
        ("215000 4000 87 Discharging - -", 0.86, 87.0, False),  # volts in mV
        ("0 4000000 104 Full 99 Full", 0.0, 99.5, True),
        ("0 4000000 870 Charging 99 Full", 0.0, 99.0, True),  # of 1000
        ("9000 4000000 255 Unknown - Unknown", 0.036, None, None),
        # on a charger that is told to stop at 80 %: the battery feeds nothing
        ("0 4000000 80 Not 80 Discharging", 0.0, 80.0, None),
        ("0 4000000 80 Full 60 Discharging", 0.0, 70.0, False),
    ],
)
def test_batteries_are_read_in_their_units_and_together(
    values: str, watts: float, percent: float | None, charging: bool | None
) -> None:
    _, (reading,) = fed(BATTERY + f"T 1.0 - - - {values} |")
    assert reading.power_w["battery"] == pytest.approx(watts)
    assert (reading.battery_percent, reading.charging) == (percent, charging)


def test_zones_are_read_in_their_units_and_what_is_no_temperature_is_left_out() -> None:
    zones = ("tsens_tz_sensor0", "battery", "soc", "vbat", "pa", "off")
    header = "".join(
        f"H temperature class/thermal/thermal_zone{n}/temp {z}\n" for n, z in enumerate(zones)
    )
    _, (reading,) = fed(header + "T 1.0 - - - 45 283 97 4192 4095 -274000 |")
    assert reading.temperatures_c == {
        "tsens_tz_sensor0": 45.0, "battery": 28.3, "pa": 4.095, "off": -274.0,
    }  # fmt: skip


def test_a_rail_in_microwatts_is_in_watts() -> None:
    _, (reading,) = fed("H rail_uw class/hwmon/hwmon3/power1_input VIN\nT 1.0 - - - 28548000 |")
    assert reading.power_w == {"INA238 VIN": 28.548}


def test_idle_time_that_goes_back_by_a_few_ticks_is_no_time() -> None:
    lines = "T 1.0 - - - | 0,10,0,0,50,9,0,0,0\nT 1.5 - - - | 0,40,0,0,80,7,0,0,0"
    _, (_, second) = fed(lines)
    assert second.busy_percent == {"0": 50.0}


def test_a_cpu_that_was_off_is_not_counted_against_the_others() -> None:
    """Its counters begin again: the stolen time of the others must not become less by them."""
    lines = (
        "T 1.0 - - - | 0,0,0,0,50,0,0,0,0 1,90,0,0,900,0,0,0,80\n"
        "T 1.5 - - - | 0,0,0,0,90,0,0,0,10 1,1,0,0,2,0,0,0,0"
    )
    _, (_, second) = fed(lines)
    assert (second.busy_percent, second.steal_percent) == ({"0": 0.0}, 20.0)


def test_a_trial_beside_a_service_without_a_hal_notes_that_nobody_watched() -> None:
    found = Parser()
    for text in ("D Thermal Status: 0|HAL Ready: false", "D Thermal Status: 0|HAL Ready: false"):
        found.feed(text)
    assert found.notes == [thermal_service.NO_HAL]
    assert found._status is None
