"""What sensors say: units, zones that are no temperature, values that are none, stale ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.kinds import batteries, readings, thermal_service
from harness.kinds.batteries import Battery
from harness.kinds.thermal_service import NO_HAL, OLD_HAL, OVERRIDDEN, ThermalService
from harness.runner import sensors

DATA = Path(__file__).parents[1] / "data" / "devices"


@pytest.mark.parametrize(
    ("raw", "name", "celsius"),
    [
        (45300, "cpu-thermal", 45.3),
        (45, "tsens_tz_sensor0", 45.0),  # whole degrees, as old vendor kernels have them
        (120, "cpu", 120.0),
        (281, "battery", 28.1),  # tenths, as batteries do
        (281, "bms", 28.1),
        (28100, "battery", 28.1),
        (28, "battery", 28.0),
        (281, "cpu", 0.281),
        (9, "cpu", 0.009),
        (255, "cpu", 0.255),
        (0, "cpu", 0.0),
        (-274000, "cpu", -274.0),
        (4095000, "cpu", 4095.0),
        (71, "soc", None),  # percent of charge on Qualcomm
        (71000, "soc", 71.0),
        (71000, "soc-thermal", 71.0),
        (71, "soc-thermal", 71.0),
        (29, "socd", None),
        (3900, "vbat", None),
        (4192, "pm8150b-vbat-lvl0", None),
        (6500, "pm6150-ibat-lvl1", None),
        (11900, "soft_ocp_cpu2", None),
        (11900, "ocp_gpu", None),
        (1250, "vdroop2", None),
        (1300, "smpl_gm", None),
        (-50, "USB2-MINUS-USB", None),
        (43000, "FLASH_LED_REDUCE", None),
        (43000, "battery", 43.0),
    ],
)
def test_a_zones_value_in_degrees(raw: float, name: str, celsius: float | None) -> None:
    assert sensors.degrees(raw, name) == (None if celsius is None else pytest.approx(celsius))


@pytest.mark.parametrize(
    ("celsius", "real"),
    [(-274.0, False), (0.0, False), (0.255, False), (4.095, False), (255.0, False),
     (4095.0, False), (1.0, True), (4.1, True), (25.5, True), (104.0, True), (150.1, False)],
)  # fmt: skip
def test_what_a_sensor_says_forever_is_no_temperature(celsius: float, real: bool) -> None:
    assert sensors.plausible(celsius) is real


def test_the_hottest_sensor_is_one_that_follows_the_heat() -> None:
    zones = {"cpu": 61.0, "PMIC-Die": 100.0, "PMIC": 100.0, "off": 4095.0, "gpu": 58.0}
    assert sensors.hottest(zones) == (61.0, "cpu")
    assert sensors.hottest({"PMIC-Die (thermal_zone7)": 100.0}) is None
    assert sensors.hottest({}) is None


def test_zones_in_different_units_are_one_scale() -> None:
    lines = [
        "45 thermal_zone0 tsens_tz_sensor0", "4095 thermal_zone1 pa", "283 thermal_zone2 battery",
        "38500 thermal_zone3 msm_therm", "3891 thermal_zone4 vbat", "88 thermal_zone5 soc",
    ]  # fmt: skip
    found = readings.zone_temperatures(lines)
    assert found == {"tsens_tz_sensor0": 45.0, "battery": 28.3, "msm_therm": 38.5}
    assert readings.hottest_c(found) == 45.0


# ---- batteries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "now", "full", "percent"),
    [
        (87.0, None, None, 87.0),
        (0.0, None, None, 0.0),
        (106.0, None, None, 100.0),  # charge against that of a new battery
        (255.0, None, None, None),  # of 255
        (870.0, None, None, None),  # of 1000
        (148.0, 2_900_000.0, 5_000_000.0, 58.0),
        (448.0, 8_739_000.0, 8_700_000.0, 100.0),
        (-1.0, None, None, None),
        (None, 2_500.0, 5_000.0, 50.0),
        (None, 2_500.0, 0.0, None),
        (None, None, None, None),
    ],
)
def test_a_gauges_percentage(
    capacity: float | None, now: float | None, full: float | None, percent: float | None
) -> None:
    assert sensors.charge_percent(capacity, now, full) == percent


@pytest.mark.parametrize(
    ("lines", "battery"),
    [
        ([], Battery()),
        (["battery Discharging 87 - -"], Battery(87.0, False)),
        (["bq27541-0 Charging 87 - -"], Battery(87.0, True)),
        (["BAT0 Not_charging 80 - -"], Battery(80.0, False)),
        (["BAT0 Full 104 - -"], Battery(100.0, True)),
        (["BAT0 - - - -"], Battery()),
        # a ThinkPad's inner one is empty, and its outer one is nearly full
        (["BAT0 Unknown 0 0 24000000", "BAT1 Discharging 95 68400000 72000000"],
         Battery(71.25, False)),
        (["BAT0 Charging 40 - -", "BAT1 Full 100 - -"], Battery(70.0, True)),
    ],
)  # fmt: skip
def test_what_the_kernel_says_of_batteries(lines: list[str], battery: Battery) -> None:
    assert batteries.of_kernel(lines) == battery


RECORDED = (DATA / "dumpsys-battery.txt").read_text().splitlines()


def said(**values: object) -> list[str]:
    whole = {"status": 3, "present": "true", "level": 43, "scale": 100, "voltage": 3900, **values}
    return ["Current Battery Service state:", *(f"  {k}: {v}" for k, v in whole.items())]


@pytest.mark.parametrize(
    ("lines", "battery"),
    [
        (RECORDED, Battery(86.0, True, 28.1)),
        (said(), Battery(43.0, False)),
        (said(level=110, scale=255), Battery(pytest.approx(43.137, abs=1e-3), False)),
        (said(level=430, scale=1000), Battery(43.0, False)),
        (said(level=430), Battery(None, False)),
        (said(level=-1), Battery(None, False)),
        (said(scale=0), Battery(None, False)),
        (said(present="false", level=50, temperature=420), Battery()),
        (said(status=1, level=0), Battery()),  # a box without one
        (said(status=1), Battery(43.0, None)),
        (said(status=5, level=100), Battery(100.0, True)),
        (said(temperature=0), Battery(43.0, False)),
        (["  (UPDATES STOPPED -- use 'reset' to restart)", *said(temperature=281)], Battery()),
        ([], Battery()),
        (["Can't find service: battery"], Battery()),
    ],
)
def test_what_androids_service_says_of_the_battery(lines: list[str], battery: Battery) -> None:
    assert batteries.of_service(lines) == battery


# ---- Android's thermal service -----------------------------------------------------------------

HEAD = ["IsStatusOverride: false", "Thermal Status: 0"]
READY = ["HAL Ready: true", "HAL connection:", "\tThermalHAL 2.0 connected: yes"]
NOW = ["Current temperatures from HAL:", "\tTemperature{mValue=41.5, mType=0, mName=AP, mStatus=0}"]


@pytest.mark.parametrize(
    ("lines", "service"),
    [
        ([*HEAD, *READY, *NOW], ThermalService(0, {"AP": 41.5})),
        (["Thermal Status: 3", *READY], ThermalService(3)),
        ([*HEAD, "Cached temperatures:", "HAL Ready: false"], ThermalService(note=NO_HAL)),
        (["Thermal Status: 3", "\tHAL Ready: false"], ThermalService(note=NO_HAL)),
        ([*HEAD, "HAL Ready: true", "\tThermalHAL 1.1 connected: no"], ThermalService(note=NO_HAL)),
        ([*HEAD, "HAL Ready: true", "\tThermalHAL 1.0 connected: yes", *NOW],
         ThermalService(None, {"AP": 41.5}, OLD_HAL)),
        (["IsStatusOverride: true", "Thermal Status: 0", *READY], ThermalService(note=OVERRIDDEN)),
        (["IsStatusOverride: true", "Thermal Status: 2", *READY], ThermalService(2)),
        (["Can't find service: thermalservice"], ThermalService()),
        ([], ThermalService()),
    ],
)  # fmt: skip
def test_what_a_thermal_service_says(lines: list[str], service: ThermalService) -> None:
    assert thermal_service.read(lines) == service
    known = None if service.status is None else service.status >= 1
    assert service.throttled is known


def test_cached_temperatures_are_of_the_last_event_and_no_readings() -> None:
    stale = ["Cached temperatures:", "\tTemperature{mValue=99.0, mType=0, mName=AP, mStatus=3}"]
    assert thermal_service.read([*HEAD, *stale, *READY, *NOW]).temperatures_c == {"AP": 41.5}
    assert thermal_service.read([*HEAD, *stale, "HAL Ready: false"]).temperatures_c == {}


def test_volts_amperes_and_percent_are_no_temperatures() -> None:
    """Of a Qualcomm, a Google and a Samsung phone: 100 % of charge would be its hottest sensor."""
    lines = [
        *HEAD, *READY, "Current temperatures from HAL:",
        "\tTemperature{mValue=100.0, mType=8, mName=soc, mStatus=0}",
        "\tTemperature{mValue=4.285, mType=6, mName=vbat, mStatus=0}",
        "\tTemperature{mValue=12.0, mType=7, mName=ibat, mStatus=0}",
        "\tTemperature{mValue=-3.4028235E38, mType=1, mName=GPU, mStatus=0}",
        "\tTemperature{mValue=NaN, mType=9, mName=npu, mStatus=0}",
        "\tTemperature{mValue=43.0, mType=-1, mName=FLASH_LED_REDUCE, mStatus=0}",
        "\tTemperature{mValue=34.3, mType=0, mName=CPU5, mStatus=0}",
        "Current cooling devices from HAL:",
        "\tCoolingDevice{mValue=3, mType=2, mName=thermal-cpufreq-0}",
        "Temperature static thresholds from HAL:",
        "\tTemperature{mValue=99.0, mType=0, mName=limit, mStatus=0}",
    ]  # fmt: skip
    assert thermal_service.read(lines).temperatures_c == {"CPU5": 34.3}
