"""MLCommons LoadGen drives the engine instead of bench's loop; requires `mlcommons-loadgen`.

LoadGen issues the queries, has its own clock and gives its own verdict; around the runtime's
call (`latency_ns`), and around the whole turn of a query (`turn_ns`), bench measures, too, so
that the two can be compared. Its logs stay in the trial's folder.
"""

from __future__ import annotations

import importlib
import json
import queue
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from ..formats.engine import Engine
from ..records import Arrivals, LoadgenResult
from . import patterns
from .job import MeasureOptions
from .loop import quiet_collector
from .patterns import Timed, server
from .patterns.figures import batch_of, with_responses

LOGS = "loadgen"


class Under:
    """The system under test: one worker that serves queries in order."""

    def __init__(self, lg: Any, engine: Engine, inputs: Sequence[Any]) -> None:
        self._lg, self._engine, self._inputs = lg, engine, inputs
        self._waiting: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        self.rows: List[Tuple[int, int, int, int]] = []

    def serve(self, samples: Sequence[Any]) -> None:
        """Run every sample and report to LoadGen; records ns: taken, start, end, reported."""
        clock = time.perf_counter_ns
        for sample in samples:
            taken = clock()
            self._engine.feed(self._inputs[sample.index % len(self._inputs)])
            began = clock()
            self._engine.invoke()
            ended = clock()
            self._lg.QuerySamplesComplete([self._lg.QuerySampleResponse(sample.id, 0, 0)])
            self.rows.append((taken, began, ended, clock()))

    def queue_up(self, samples: Sequence[Any]) -> None:
        """Take the query and return at once, so that LoadGen's next one comes in time."""
        self._waiting.put(samples)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A thread that serves the queue."""

        def work() -> None:
            for samples in iter(self._waiting.get, None):
                self.serve(samples)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._waiting.put(None)
            thread.join()


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, folder: Path) -> Timed:
    """One LoadGen test of the chosen pattern; raises RuntimeError if it does not exist."""
    lg = _library()
    scenario = _scenario(rules)
    under = Under(lg, engine, inputs)
    logs = folder / LOGS
    logs.mkdir(exist_ok=True)
    began = time.perf_counter_ns()
    settings = _settings(lg, scenario, rules)
    if scenario == "Offline":  # its one query is as large as it believes to last min_duration
        settings.offline_expected_qps = server.top_hz(engine, inputs)
    with quiet_collector(), under.worker():
        _drive(lg, under, len(inputs), settings, logs)
    seconds = (time.perf_counter_ns() - began) / 1e9
    rows = np.array(under.rows, np.int64)
    start_ns, latency_ns = rows[:, 1], rows[:, 2] - rows[:, 1]
    turn_ns = rows[:, 3] - rows[:, 0]
    said = read_result(logs / "mlperf_log_detail.txt", scenario)
    asked = patterns.options(rules) if scenario == "Server" else None
    arrivals = Arrivals(
        pattern=rules.pattern,
        n=len(rows),
        seconds=seconds,
        samples_per_s=len(rows) * batch_of(inputs) / seconds,
        rate_hz=asked.rates_hz[0] if asked else None,
        bound_ms=asked.bound_ms if asked else None,
        loadgen=said,
    )
    if scenario == "SingleStream":
        arrivals = with_responses(arrivals, latency_ns)
    arrays = {"start_ns": start_ns, "latency_ns": latency_ns, "turn_ns": turn_ns}
    return Timed(arrays, not said.valid, arrivals)


def read_result(detail: Path, scenario: str) -> LoadgenResult:
    """LoadGen's figures from its detail log, JSON lines prefixed with `:::MLLOG`."""
    found: Dict[str, Any] = {}
    for line in detail.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line.partition(":::MLLOG ")[2])
        except ValueError:  # a commit message of theirs may hold what is no JSON
            continue
        found[entry["key"]] = entry["value"]

    def percentile_ms(percent: str) -> float:
        return float(found[f"result_{percent}_percentile_latency_ns"]) / 1e6

    return LoadgenResult(
        version=str(found["loadgen_version"]),
        scenario=scenario,
        valid=found["result_validity"] == "VALID",
        p50_ms=percentile_ms("50.00"),
        p90_ms=percentile_ms("90.00"),
        p99_ms=percentile_ms("99.00"),
    )


def _library() -> Any:
    try:
        return importlib.import_module("mlperf_loadgen")
    except ImportError:
        raise RuntimeError(
            "profile mlperf: this runtime's environment has no mlcommons-loadgen"
        ) from None


def _scenario(rules: MeasureOptions) -> str:
    """LoadGen's name for the pattern; raises RuntimeError if it has none."""
    pattern, scenario = rules.pattern, patterns.find(rules.pattern).SPEC.loadgen
    if not scenario:
        known = ", ".join(name for name, one in patterns.REGISTRY.items() if one.SPEC.loadgen)
        raise RuntimeError(
            f"profile mlperf: LoadGen does not support pattern {pattern}, only {known}"
        )
    if scenario == "Server" and len(patterns.options(rules).rates_hz) != 1:
        raise RuntimeError(
            f"profile mlperf: pattern {pattern} requires exactly one rate in rates_hz"
        )
    return scenario


def _settings(lg: Any, scenario: str, rules: MeasureOptions) -> Any:
    made = lg.TestSettings()
    made.scenario = getattr(lg.TestScenario, scenario)
    made.mode = lg.TestMode.PerformanceOnly
    made.min_query_count = rules.min_samples
    made.min_duration_ms = int(rules.min_s * 1000)
    made.max_duration_ms = int(rules.cap_s * 1000)
    made.schedule_rng_seed = rules.seed
    made.sample_index_rng_seed = rules.seed
    if scenario == "Server":
        asked = patterns.options(rules)
        made.server_target_qps = asked.rates_hz[0]
        made.server_target_latency_ns = int(asked.bound_ms * 1e6)
        made.server_target_latency_percentile = 0.99
    return made


def _drive(lg: Any, under: Under, pictures: int, settings: Any, logs: Path) -> None:
    output, log = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(logs), False
    log.log_output, log.enable_trace = output, False
    single = settings.scenario == lg.TestScenario.SingleStream
    sut = lg.ConstructSUT(under.serve if single else under.queue_up, lambda: None)
    library = lg.ConstructQSL(pictures, pictures, lambda indices: None, lambda indices: None)
    try:
        lg.StartTestWithLogSettings(sut, library, settings, log, "")
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(sut)
