"""The timed loop: what it calls, when it stops, what it leaves behind."""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

import numpy as np
import pytest

from harness.runner import loop
from harness.runner.job import PROFILES, MeasureOptions
from harness.runner.loop import quiet_collector, run_chunk, stage_loop, timed_loop, warm_up

RULES = MeasureOptions(min_samples=64, min_s=0.05, cap_s=0.4, warmup_min_s=0.02, warmup_cap_s=3.0)


class Clock:
    """Time that passes only when something is done; each look costs 100 ns."""

    def __init__(self) -> None:
        self.now_ns = 0

    def perf_counter_ns(self) -> int:
        self.now_ns += 100
        return self.now_ns


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time", CLOCK)


class FakeEngine:
    """Counts; takes as long as it is told for each run."""

    def __init__(self, delays_s: Any = lambda i: 0.001) -> None:
        self.fed: list[int] = []
        self.runs = 0
        self.collector_was_on = False
        self._delays_s = delays_s

    def feed(self, tensor: Any) -> None:
        self.fed.append(int(tensor))

    def invoke(self) -> None:
        self.collector_was_on |= gc.isenabled()
        CLOCK.now_ns += int(1e9 * self._delays_s(self.runs))
        self.runs += 1

    def fetch(self) -> dict[str, Any]:
        return {}


def test_every_sample_is_kept_in_order_and_inputs_rotate() -> None:
    engine = FakeEngine()
    starts, latencies, capped = timed_loop(engine, [0, 1, 2], RULES)
    assert len(starts) == len(latencies) == engine.runs >= RULES.min_samples
    assert engine.fed[:7] == [0, 1, 2, 0, 1, 2, 0]
    assert (np.diff(starts) > 0).all()
    assert (latencies > 0).all()


def test_it_stops_when_the_interval_is_narrow() -> None:
    _, latencies, capped = timed_loop(FakeEngine(lambda i: 0.001), [0], RULES)
    assert not capped
    assert np.median(latencies) == pytest.approx(1e6, rel=0.001)


def test_it_stops_at_the_cap_and_says_so() -> None:
    _, _, capped = timed_loop(FakeEngine(lambda i: 0.001 * (1 + i / 50)), [0], RULES)
    assert capped


def test_the_collector_is_off_inside_and_on_after() -> None:
    engine = FakeEngine()
    timed_loop(engine, [0], RULES)
    assert not engine.collector_was_on
    assert gc.isenabled()
    with pytest.raises(RuntimeError), quiet_collector():
        raise RuntimeError
    assert gc.isenabled()


def test_warm_up_waits_until_it_is_steady() -> None:
    engine = FakeEngine(lambda i: max(0.001, 0.004 * 0.8**i))
    taken, settled = warm_up(engine, [0], RULES)
    assert settled
    assert len(taken) >= 15
    assert np.median(taken[-5:]) == pytest.approx(1e6, rel=0.001)


def test_warm_up_that_never_settles_says_so() -> None:
    rising = FakeEngine(lambda i: 0.0005 * (1 + i))
    assert warm_up(rising, [0], RULES)[1] is False


def test_stages_add_up_to_end_to_end() -> None:
    def spend(value: Any) -> Any:
        CLOCK.now_ns += 1_000_000
        return value

    rows = stage_loop((spend, spend, spend), [1, 2], RULES)
    assert len(rows) == RULES.stages_min_runs
    assert (rows[:, :3].sum(axis=1) <= rows[:, 3] + 10_000).all()
    assert (rows[:, :3] >= 1_000_000).all()


def test_profiles_are_those_of_the_docs() -> None:
    quick, full = PROFILES["quick"], PROFILES["full"]
    assert (quick.min_samples, quick.min_s, quick.cap_s) == (64, 1.0, 10.0)
    assert (full.min_samples, full.min_s, full.cap_s) == (662, 10.0, 60.0)


def test_smoke_ends_after_a_few_samples_however_they_scatter() -> None:
    uneven = FakeEngine(lambda i: 0.001 * (1 + i % 7))
    assert warm_up(uneven, [0], PROFILES["smoke"])[1]
    _, latencies, capped = timed_loop(uneven, [0], PROFILES["smoke"])
    assert (len(latencies), capped) == (8, False)


def test_smoke_warms_a_very_slow_machine_up_with_two_runs() -> None:
    taken, settled = warm_up(FakeEngine(lambda i: 5.0), [0], PROFILES["smoke"])
    assert (len(taken), settled) == (2, False)


def test_smoke_keeps_eight_samples_of_a_very_slow_machine() -> None:
    _, latencies, capped = timed_loop(FakeEngine(lambda i: 5.0), [0], PROFILES["smoke"])
    assert (len(latencies), capped) == (8, False)


class Null:
    """Does nothing, and so leaves nothing behind."""

    def feed(self, tensor: Any) -> None:
        """Nothing."""

    def invoke(self) -> None:
        """Nothing."""

    def fetch(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def test_a_thousand_times_the_samples_leave_no_more_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a turn makes is gone at its end: a chunk's blocks do not depend on its length."""
    monkeypatch.setattr(loop, "time", time)
    run_chunk(Null(), [None], 0, 100)

    def blocks(count: int) -> int:
        starts = np.zeros(count, np.int64)
        before = sys.getallocatedblocks()
        kept = run_chunk(Null(), [None, None], 0, count, starts)
        made = sys.getallocatedblocks() - before
        assert len(kept) == count
        return made

    assert abs(blocks(100_000) - blocks(100)) <= 5


def test_the_collector_is_set_up_once_a_loop_and_not_once_a_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    timed_loop(FakeEngine(lambda i: 0.001 * (1 + i / 50)), [0], RULES)
    assert len(collected) == 1
