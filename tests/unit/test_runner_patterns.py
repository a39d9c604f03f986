"""Arrival patterns: what is scheduled, what is dropped, what waits, and which rate is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.summary import ENOUGH, percentile
from harness.runner import loop, patterns
from harness.runner.job import PROFILES, MeasureOptions
from harness.runner.patterns import REGISTRY, Timed, camera, figures, offline, server
from harness.runner.patterns.server import SEARCH_STEPS
from harness.serial import dumps, loads

MS = 1_000_000
RULES = MeasureOptions(min_samples=64, min_s=0.5, cap_s=10.0)


class Clock:
    """Time that passes only when something is done or slept."""

    def __init__(self) -> None:
        self.now_ns = 7 * MS
        self.slept_ns = 0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        self.slept_ns += round(seconds * 1e9)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (loop, camera, server, offline):
        monkeypatch.setattr(module, "time", made)
    return made


class Engine:
    """Takes 1 ms to copy in and `delay_ms(i)` to run."""

    def __init__(self, clock: Clock, delay_ms: Any = lambda i: 10.0, copy_ms: float = 1.0) -> None:
        self.clock, self.delay_ms, self.copy_ms = clock, delay_ms, copy_ms
        self.fed: list[int] = []

    def feed(self, tensor: Any) -> None:
        self.fed.append(int(np.ravel(tensor)[0]))
        self.clock.now_ns += int(self.copy_ms * MS)

    def invoke(self) -> None:
        self.clock.now_ns += int(self.delay_ms(len(self.fed) - 1) * MS)

    def fetch(self) -> dict[str, Any]:
        return {}


INPUTS = [(np.full((2, 1), i),) for i in range(3)]


def run(engine: Engine, pattern: str, rules: MeasureOptions = RULES, **options: Any) -> Timed:
    return patterns.run(engine, INPUTS, replace(rules, pattern=pattern, options=options))


@pytest.mark.parametrize("pattern", REGISTRY)
def test_each_pattern_keeps_every_sample_as_int64(clock: Clock, pattern: str) -> None:
    engine = Engine(clock)
    timed = run(engine, pattern, minutes=0.02, rates_hz=(20.0,))
    assert {a.dtype for a in timed.arrays.values()} == {np.dtype(np.int64)}
    assert {len(a) for a in timed.arrays.values()} == {len(engine.fed)}
    assert (timed.arrays["latency_ns"] == 10 * MS).all()
    assert (np.diff(timed.arrays["start_ns"]) > 0).all()


@pytest.mark.parametrize("pattern", REGISTRY)
def test_what_a_pattern_says_can_be_written_and_read(clock: Clock, pattern: str) -> None:
    said = run(Engine(clock), pattern, minutes=0.02).arrivals
    if said is None:
        assert pattern == "single"
    else:
        assert loads(type(said), dumps(said)) == said
        assert said.pattern == pattern


def test_offline_counts_pictures_of_a_batch_and_the_copies(clock: Clock) -> None:
    said = run(Engine(clock), "offline").arrivals
    assert said is not None
    assert said.samples_per_s == pytest.approx(2 / 0.011)


def test_offline_says_when_the_cap_came_first(clock: Clock) -> None:
    assert run(Engine(clock, lambda i: 400.0), "offline").capped
    assert not run(Engine(clock), "offline").capped


def test_a_camera_s_pictures_come_at_its_rate_and_the_machine_sleeps_between(clock: Clock) -> None:
    timed = run(Engine(clock), "camera", rate_hz=20.0)
    assert timed.arrivals is not None
    assert (np.diff(timed.arrays["scheduled_ns"]) == 50 * MS).all()
    assert (timed.arrivals.n, timed.arrivals.dropped, timed.capped) == (64, 0, False)
    assert timed.arrivals.response_p50_ms == pytest.approx(11.0)
    assert clock.slept_ns > 64 * 38 * MS


def test_a_slow_model_takes_the_newest_picture_and_the_others_are_dropped(clock: Clock) -> None:
    engine = Engine(clock, lambda i: 120.0)
    timed = run(engine, "camera", rate_hz=20.0)
    assert timed.arrivals is not None
    assert timed.arrivals.n == len(engine.fed) >= 64
    assert timed.arrivals.dropped > timed.arrivals.n
    response = timed.arrays["start_ns"] + timed.arrays["latency_ns"] - timed.arrays["scheduled_ns"]
    assert (response <= (50 + 121) * MS).all()  # never older than one period when it is taken


def test_a_camera_that_is_too_slow_for_the_samples_is_capped(clock: Clock) -> None:
    assert run(Engine(clock), "camera", rate_hz=2.0).capped


def test_arrivals_are_poisson_and_the_same_for_the_same_seed() -> None:
    first = server.arrivals_ns(3, 50.0, 20_000)
    assert (first == server.arrivals_ns(3, 50.0, 20_000)).all()
    assert (first != server.arrivals_ns(4, 50.0, 20_000)).any()
    gaps_s = np.diff(first) / 1e9
    assert gaps_s.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps_s.std() == pytest.approx(1 / 50, rel=0.03)  # exponential: as wide as its mean
    assert server.arrivals_ns(3, 100.0, 3).tolist() == pytest.approx(
        (first[:3] // 2).tolist(), abs=1
    )


def test_the_schedule_is_this_one_on_every_numpy() -> None:
    assert server.arrivals_ns(0, 1.0, 4).tolist() == [0, 1255930762, 2179153908, 2966355061]


def test_a_response_counts_the_time_in_the_queue(clock: Clock) -> None:
    timed = run(Engine(clock), "server", rates_hz=(1e6,), bound_ms=1e9, rate_samples=100)
    response = timed.arrays["start_ns"] + timed.arrays["latency_ns"] - timed.arrays["scheduled_ns"]
    assert response[-1] == pytest.approx(100 * 11 * MS, rel=0.001)  # all 100 came at once
    assert (timed.arrays["latency_ns"] == 10 * MS).all()


def test_the_highest_rate_that_keeps_the_bound_is_found(clock: Clock) -> None:
    said = run(Engine(clock, copy_ms=0.0), "server", bound_ms=40.0).arrivals
    assert said is not None
    assert len(said.rates) == SEARCH_STEPS
    kept = {rate.rate_hz for rate in said.rates if rate.kept}
    assert said.best_rate_hz == said.rate_hz == max(kept)
    assert said.best_rate_hz == pytest.approx(46, rel=0.15)  # where 1 % wait over 30 ms, below
    assert said.response_p99_ms is not None
    assert said.response_p99_ms <= 40.0
    assert all(rate.p99_ms is None for rate in said.rates if not rate.kept)


def waits_longer(load: float, times: int) -> float:
    """Share of an M/D/1 queue's customers that wait over `times` services (Erlang, 1909)."""
    terms = ((load * (k - times)) ** k / math.factorial(k) for k in range(times + 1))
    steps = (math.exp(-load * (k - times)) for k in range(times + 1))
    return 1 - (1 - load) * sum(a * b for a, b in zip(terms, steps, strict=True))


@pytest.mark.parametrize("rate_hz", [40.0, 46.0, 60.0, 75.0])
def test_the_queue_is_the_one_of_the_textbook(clock: Clock, rate_hz: float) -> None:
    asked = {"rates_hz": (rate_hz,), "rate_samples": 40_000, "bound_ms": 1e6, "cap_s": 1e6}
    timed = run(Engine(clock, copy_ms=0.0), "server", **asked)
    response = timed.arrays["start_ns"] + timed.arrays["latency_ns"] - timed.arrays["scheduled_ns"]
    late = float((response > 40 * MS).mean())
    assert late == pytest.approx(waits_longer(rate_hz / 100, 3), rel=0.15)


def test_no_rate_keeps_a_bound_under_the_model_s_own_time(clock: Clock) -> None:
    said = run(Engine(clock), "server", bound_ms=5.0).arrivals
    assert said is not None
    assert said.best_rate_hz is None
    assert {(rate.n, rate.late) for rate in said.rates} == {(7, 7)}  # 1 % of 662 is 6


def test_late_responses_within_one_percent_keep_a_rate(clock: Clock) -> None:
    def tried(slow: int) -> Any:
        engine = Engine(clock, lambda i: 90.0 if i < slow else 1.0, copy_ms=0.0)
        return run(engine, "server", bound_ms=50.0, rates_hz=(0.5,), cap_s=1e6).arrivals

    assert tried(6).rates[0].kept
    assert tried(6).rates[0].p99_ms == pytest.approx(1.0)
    assert tried(7).rates[0].kept is False


def test_a_rate_that_takes_too_long_is_not_known_to_be_kept_and_is_called_capped(
    clock: Clock,
) -> None:
    timed = run(Engine(clock), "server", rates_hz=(1.0,), cap_s=30.0)
    assert timed.arrivals is not None
    assert timed.capped
    assert timed.arrivals.rates[0].kept is None
    assert timed.arrivals.best_rate_hz is None
    assert timed.arrivals.rates[0].n < 662


def test_a_slow_model_s_search_goes_up_to_where_its_responses_fit_in_the_time(
    clock: Clock,
) -> None:
    """70 ms a call: 662 responses take 60 s from 11 a second on, of 14.3 that it can serve."""
    slow = run(Engine(clock, lambda i: 70.0, copy_ms=0.0), "server", bound_ms=1e4).arrivals
    assert slow is not None
    assert [rate.kept for rate in slow.rates][:2] == [None, None]  # 7.1 and 10.7 a second
    assert slow.best_rate_hz == pytest.approx(13.8, abs=0.1)


def test_a_model_that_is_too_slow_for_the_time_has_no_known_rate_and_more_time_finds_it(
    clock: Clock,
) -> None:
    engine = Engine(clock, lambda i: 500.0, copy_ms=0.0)
    short = run(engine, "server", bound_ms=5e3)
    assert short.arrivals is not None
    assert short.capped
    assert short.arrivals.best_rate_hz is None
    assert short.arrivals.rates[0].kept is None
    long = run(engine, "server", bound_ms=5e3, cap_s=1200.0)
    assert long.arrivals is not None
    assert not long.capped
    assert long.arrivals.best_rate_hz == pytest.approx(1.55, abs=0.1)  # of 2 that it can serve


def test_samples_say_which_rate_they_are_of(clock: Clock) -> None:
    timed = run(Engine(clock), "server", rates_hz=(10.0, 20.0), rate_samples=50)
    assert timed.arrays["rate_index"].tolist() == [0] * 50 + [1] * 50


def test_sustained_keeps_all_samples_and_compares_both_ends(clock: Clock) -> None:
    engine = Engine(clock, lambda i: 10.0 if clock.now_ns < 100e9 else 15.0, copy_ms=0.0)
    timed = run(engine, "sustained", minutes=3.0)
    said = timed.arrivals
    assert said is not None
    assert said.n == len(engine.fed) == len(timed.arrays["latency_ns"])
    assert said.seconds == pytest.approx(180.0, rel=0.01)
    assert (said.first_minute_ms, said.last_minute_ms) == (10.0, 15.0)


def test_percentiles_are_those_of_the_statistics() -> None:
    samples = np.random.default_rng(1).lognormal(15, 0.3, 5000).astype(np.int64)
    assert {p: ENOUGH[p] for p in figures.ENOUGH} == figures.ENOUGH
    for percent in figures.ENOUGH:
        for n in (1, 63, 64, 661, 662, 5000):
            ours, theirs = (
                figures.percentile_ms(samples[:n], percent),
                percentile(samples[:n], percent),
            )
            assert ours == (None if theirs is None else theirs / 1e6)


def test_the_longest_loop_is_that_of_the_pattern() -> None:
    def longest(pattern: str, **options: Any) -> float:
        rules = replace(PROFILES["quick"], pattern=pattern, options=options)
        return patterns.longest_loop_s(rules)

    assert longest("single") == longest("offline") == longest("camera") == 10.0
    assert longest("sustained", minutes=10.0) == 600.0
    assert longest("server") == SEARCH_STEPS * 60.0
    assert longest("server", rates_hz=(1.0, 2.0)) == 120.0


def test_a_job_with_a_pattern_that_is_none_names_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="^unknown pattern 'burst', expected one of single, offline, camera"
    ):
        patterns.longest_loop_s(replace(RULES, pattern="burst"))
