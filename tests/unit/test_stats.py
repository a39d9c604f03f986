"""The claims of the statistics, tested on what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import drift, flags
from harness.analysis import summary as stats
from harness.analysis.effective_sample_size import effective_size
from harness.analysis.student_t import Confidence, student
from harness.analysis.verdict import judge
from harness.records import Cell, DeviceState, Interval, Trial

RNG = np.random.default_rng(7)


def lognormal(n: int, median_ms: float = 10.0, sigma: float = 0.05) -> stats.Samples:
    return (median_ms * 1e6 * np.exp(sigma * RNG.standard_normal(n))).astype(np.int64)


def trial(**changes: object) -> Trial:
    state = DeviceState("2026-01-01T00:00:00Z")
    values: dict[str, object] = {
        "index": 0, "folder": "t", "load_ms": 1.0, "first_ms": 2.0, "import_ms": 3.0, "settled": True,
        "stopped_by": "interval", "peak_rss_bytes": 10, "os_threads": 1, "runtime_version": "1",
        "python_version": "3", "wall_s": 1.0, "before": state, "after": state,
    }  # fmt: skip
    return Trial(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("percent", "least"), [(90.0, 64), (95.0, 130), (99.0, 662), (99.9, 6640)])
def test_a_percentile_is_printed_from_enough_samples_only(percent: float, least: int) -> None:
    assert stats.percentile(np.arange(least - 1), percent) is None
    assert stats.percentile(np.arange(1, least + 1), percent) == np.ceil(percent / 100 * least)


def test_drift_is_flagged_and_noise_is_not() -> None:
    steady = lognormal(600, sigma=0.005)
    assert abs(drift.drift_between(steady[:200], steady[-200:])) < 2
    heating = (steady * np.linspace(1, 1.1, 600)).astype(np.int64)
    assert drift.drift_between(heating[:200], heating[-200:]) == pytest.approx(6.7, abs=1)
    assert any("drifted" in flag for flag in flags.sample_flags([heating]))


def test_two_modes_are_seen_and_one_is_not() -> None:
    both = np.concatenate([lognormal(300, 10, 0.01), lognormal(100, 12, 0.01)])
    assert drift.has_two_modes(both)
    assert not drift.has_two_modes(lognormal(200, 10, 0.03))


def test_trials_that_disagree_are_flagged() -> None:
    found = flags.sample_flags([lognormal(200, 10, 0.001), lognormal(200, 10.5, 0.001)])
    assert any(flag.startswith("trials disagree by") for flag in found)


def test_quiet_samples_raise_no_flag() -> None:
    assert flags.sample_flags([lognormal(300, 10, 0.005) for _ in range(3)]) == []


def test_what_the_device_says_is_flagged() -> None:
    busy = DeviceState(
        "t", cpu_pressure_percent=40.0, frequency_khz=(2_000_000,), battery_percent=12.0
    )
    slow = DeviceState("t", frequency_khz=(1_500_000,))
    hard = trial(before=busy, after=slow, settled=False, stopped_by="cap")
    found = flags.trial_flags([hard, trial(), trial()])
    assert [flag.split(":")[0].split(" ")[0] for flag in found] == [
        "1",
        "1",
        "background",
        "clock",
        "battery",
    ]


def test_a_summary_of_one_sample_has_no_percentile_and_does_not_crash() -> None:
    summary = stats.summarise([trial()], [{"latency_ns": np.array([5_000_000])}])
    assert (summary.n, summary.p50.value, summary.p90_ms, summary.pre_ms) == (1, 5.0, None, None)


def test_stages_are_medians_over_all_trials() -> None:
    samples = [
        {
            "latency_ns": np.array([1_000_000] * 3),
            "pre_ns": np.array([1_000_000, 3_000_000, 2_000_000]),
        }
    ]
    assert stats.summarise([trial()], samples).pre_ms == 2.0


def test_two_modes_are_seen_through_a_few_interruptions() -> None:
    both = np.concatenate([lognormal(300, 10, 0.01), lognormal(100, 12, 0.01), [10**9]])
    assert drift.has_two_modes(both)


def test_samples_that_repeat_themselves_count_less() -> None:
    apart = lognormal(600)
    assert effective_size(apart, 10e6) > 400
    assert effective_size(np.repeat(apart[:60], 10), 10e6) < 150


def test_equal_samples_count_in_full_and_have_an_interval_of_no_width() -> None:
    same = np.full(100, 5_000_000)
    assert effective_size(same, 5e6) == 100
    assert stats.headline([same, same]) == Interval(5e6, 5e6, 5e6)


@given(st.lists(st.integers(1, 10**12), min_size=2, max_size=6))
def test_no_interval_of_a_latency_goes_below_zero(medians: list[int]) -> None:
    interval = stats.headline([np.full(20, median) for median in medians])
    assert 0 < interval.low <= interval.value <= interval.high


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=200))
def test_any_samples_have_an_interval_around_their_median(values: list[int]) -> None:
    samples = np.array(values, np.int64)
    interval = stats.median_interval(samples)
    assert interval.low <= interval.value <= interval.high
    assert interval.value == np.median(samples)
    assert 1 <= effective_size(samples, interval.value) <= len(samples)


@given(
    st.lists(
        st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=40), min_size=1, max_size=4
    )
)
def test_no_samples_crash_the_summary(values: list[list[int]]) -> None:
    samples = [{"latency_ns": np.array(v, np.int64)} for v in values]
    summary = stats.summarise([trial(index=i) for i in range(len(values))], samples)
    assert summary.n == sum(map(len, values))


def test_a_clock_that_goes_backwards_is_said() -> None:
    reason = flags.impossible([np.array([5, -3, 0, 7])])
    assert reason == [
        "2 of 4 samples are zero or negative: the clock stood still or went backwards; "
        "measure again"
    ]
    assert flags.impossible([lognormal(10)]) == []


def test_one_sample_has_no_interval_and_says_so() -> None:
    assert flags.sample_flags([lognormal(1)]) == [
        "1 samples are too few for a 95 % interval (at least 6)"
    ]


def test_a_temperature_of_4095_is_no_reading() -> None:
    absurd = DeviceState("t", hottest_c=4095.0)
    assert flags.trial_flags([trial(before=absurd), trial(), trial()]) == [
        "implausible temperature 4095 °C, ignored: the sensor is off or broken"
    ]


def test_a_sensor_that_vanishes_is_said() -> None:
    hot = trial(before=DeviceState("t", hottest_c=50.0))
    assert flags.trial_flags([hot, trial(), trial()]) == [
        "the temperature sensor vanished during a trial; temperature not monitored"
    ]


@pytest.mark.parametrize(("count", "have"), [(1, "1 trial does"), (2, "2 trials do")])
def test_a_number_from_few_processes_is_suspect(count: int, have: str) -> None:
    trials = [trial(index=i, affinity=(1,)) for i in range(count)]
    samples = [lognormal(700, 10, 0.004) for _ in range(count)]
    summary = stats.summarise(trials, [{"latency_ns": s} for s in samples])
    cell = Cell("m", "onnx", "fp32", "local")
    assert judge(cell, trials, summary, profile="full") == (
        "suspect",
        (f"{have} not show the variation between processes; run at least 3",),
    )


@pytest.mark.parametrize(
    ("confidence", "degrees", "expected"),
    [
        (95.0, 4, 2.776),
        (99.9, 8, 5.041),
        (95.0, 40, 2.0211),
        (99.9, 40, 3.5510),
        (99.9, 120, 3.3735),
    ],
)
def test_student_s_quantiles(confidence: Confidence, degrees: int, expected: float) -> None:
    assert student(confidence, degrees) == pytest.approx(expected, abs=2e-3)


def test_a_number_from_a_broken_clock_is_invalid() -> None:
    trials = [trial(affinity=(1,))]
    summary = stats.summarise(trials, [{"latency_ns": np.array([10, -3, 10])}])
    reasons = flags.impossible([np.array([10, -3, 10])])
    verdict, seen = judge(Cell("m", "onnx", "fp32", "local"), trials, summary, reasons)
    assert (verdict, seen[0]) == ("invalid", reasons[0])


@pytest.mark.parametrize("span", flags.SPANS)
def test_a_stage_that_took_less_than_no_time_is_said(span: str) -> None:
    trials = [{"latency_ns": lognormal(10), span: np.array([5, -1])}]
    assert flags.backwards(trials) == [
        f"{span} has negative values: the clock went backwards; measure again"
    ]
    assert flags.backwards([{"latency_ns": lognormal(10), span: np.array([5, 0])}]) == []
