"""LoadGen drives our engine, and its percentiles are ours."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.runner import loadgen
from harness.runner.job import PROFILES, MeasureOptions
from harness.runner.patterns.figures import percentile_ms

RULES = MeasureOptions(min_samples=700, min_s=0.5, cap_s=60.0, loadgen=True)
INPUTS = [(np.full((1, 1), i),) for i in range(16)]


class Delays:
    """Sleeps as its turn says, so that p50, p90 and p99 are each among many of the same length."""

    DELAYS_S = (0.001,) * 28 + (0.006,) * 4 + (0.1,)

    def __init__(self) -> None:
        self.runs = 0

    def feed(self, tensor: Any) -> None:
        """Nothing."""

    def invoke(self) -> None:
        time.sleep(self.DELAYS_S[self.runs % len(self.DELAYS_S)])
        self.runs += 1

    def fetch(self) -> dict[str, Any]:
        return {}


def rules(pattern: str, **options: Any) -> MeasureOptions:
    return replace(RULES, pattern=pattern, options=options)


def test_our_percentiles_and_loadgen_s_agree(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="the wheel mlcommons-loadgen is not installed")
    engine = Delays()
    timed = loadgen.run(engine, INPUTS, RULES, tmp_path)
    assert timed.arrivals is not None
    said = timed.arrivals.loadgen
    assert said is not None
    assert (said.scenario, said.valid) == ("SingleStream", True)
    assert len(timed.arrays["latency_ns"]) == engine.runs >= 700
    for percent, theirs in ((50.0, said.p50_ms), (90.0, said.p90_ms), (99.0, said.p99_ms)):
        call = percentile_ms(timed.arrays["latency_ns"], percent)
        turn = percentile_ms(timed.arrays["turn_ns"], percent)
        assert call is not None
        assert turn is not None
        # LoadGen's time has the whole turn in it, and a call through Python around it
        assert call <= theirs <= turn * 1.05 + 0.3


def test_a_server_s_requests_come_at_loadgen_s_times(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="the wheel mlcommons-loadgen is not installed")
    timed = loadgen.run(
        Delays(), INPUTS, rules(pattern="server", rates_hz=(100.0,), bound_ms=2000.0), tmp_path
    )
    assert timed.arrivals is not None
    assert timed.arrivals.loadgen is not None
    assert timed.arrivals.loadgen.scenario == "Server"
    assert timed.arrivals.n >= 700


def test_offline_is_one_query_of_all(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="the wheel mlcommons-loadgen is not installed")
    timed = loadgen.run(Delays(), INPUTS, rules(pattern="offline"), tmp_path)
    assert timed.arrivals is not None
    assert timed.arrivals.n >= 700
    assert timed.arrivals.samples_per_s > 50
    assert timed.arrivals.loadgen is not None
    assert timed.arrivals.loadgen.p99_ms > 100 * 2  # each waits for all before it


def test_without_the_wheel_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(RuntimeError, match="environment has no mlcommons-loadgen"):
        loadgen.run(Delays(), INPUTS, RULES, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pattern": "camera"},
            "LoadGen does not support pattern camera, only single, offline, server",
        ),
        ({"pattern": "server"}, "pattern server requires exactly one rate in rates_hz"),
    ],
)
def test_what_loadgen_lacks_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        loadgen._scenario(rules(**options))


def test_its_detail_log_is_read_past_lines_that_are_no_json(tmp_path: Path) -> None:
    values: dict[str, object] = {"loadgen_version": "6.0.17", "result_validity": "INVALID"}
    for percent, ns in (("50.00", 2_000_000), ("90.00", 3_000_000), ("99.00", 4_500_000)):
        values[f"result_{percent}_percentile_latency_ns"] = ns
    lines = [':::MLLOG {"key": "loadgen_git_log_message", "value": "a "quoted" word"}']
    lines += [f":::MLLOG {json.dumps({'key': k, 'value': v})}" for k, v in values.items()]
    path = tmp_path / "detail.txt"
    path.write_text("\n".join(lines))
    said = loadgen.read_result(path, "SingleStream")
    assert (said.version, said.valid) == ("6.0.17", False)
    assert (said.p50_ms, said.p90_ms, said.p99_ms) == (2.0, 3.0, 4.5)


def test_profile_mlperf_is_driven_by_loadgen() -> None:
    assert PROFILES["mlperf"].loadgen
    assert not PROFILES["full"].loadgen
