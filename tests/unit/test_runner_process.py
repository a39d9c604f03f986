"""What a runner says of its own process: threads, CPUs, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.runner import memory, threads
from harness.runner.memory import Phases

MB = 10**6


def spin(until: float) -> None:
    while time.process_time() < until:
        pass


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_threads_that_only_wait_are_not_busy() -> None:
    over = threading.Event()
    waiting = [threading.Thread(target=over.wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    before, began = threads.cpu_ns(), time.perf_counter_ns()
    spin(time.process_time() + 0.2)
    shares = threads.percents(before, threads.cpu_ns(), time.perf_counter_ns() - began)
    counted = threads.count()
    over.set()
    for thread in waiting:
        thread.join()
    assert counted >= 4
    assert threads.busy(shares) == 1


def test_each_thread_that_works_is_counted() -> None:
    until, over = time.process_time() + 0.4, threading.Event()

    def work() -> None:
        spin(until)
        over.wait()  # still there when it is counted

    workers = [threading.Thread(target=work) for _ in range(2)]
    before, began = threads.cpu_ns(), time.perf_counter_ns()
    for thread in workers:
        thread.start()
    spin(until)
    shares = threads.percents(before, threads.cpu_ns(), time.perf_counter_ns() - began)
    over.set()
    for thread in workers:
        thread.join()
    assert threads.busy(shares) == 3


def test_a_thread_with_little_to_do_is_shown_but_not_busy() -> None:
    shares = threads.percents({1: 0, 2: 0}, {1: 900, 2: 50, 3: 5, 4: 600}, 1000)
    assert shares == (90.0, 60.0, 5.0)
    assert threads.busy(shares) == 2
    assert threads.busy(()) == 0


@pytest.mark.parametrize("name", ["a b", "x) 1 2 (y"])
def test_ticks_are_read_past_any_thread_name(tmp_path: Path, name: str) -> None:
    task = tmp_path / "7"
    task.mkdir()
    (task / "stat").write_text(f"7 ({name}) S 1 1 1 0 -1 64 5 6 7 8 120 30 0 0 20\n")
    assert threads._schedstat_ns(task) is None
    assert threads._stat_ns(task) == 150 * 10**9 // os.sysconf("SC_CLK_TCK")


def test_a_kernel_that_does_not_tell_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "TASKS", tmp_path / "none")
    assert threads.cpu_ns() == {}
    (tmp_path / "9").mkdir()
    monkeypatch.setattr(threads, "TASKS", tmp_path)
    assert threads.cpu_ns() == {}


def test_a_runner_keeps_to_its_cpus_and_says_which() -> None:
    last = sorted(os.sched_getaffinity(0))[-1]
    code = "from harness.runner import threads; print(threads.keep_to({}))"
    assert run(code.format((last,))) == f"({last},)"
    assert run(code.format((1023,))) == str(tuple(sorted(os.sched_getaffinity(0))))
    assert run(code.format(())) == str(tuple(sorted(os.sched_getaffinity(0))))


def test_a_memory_limit_holds() -> None:
    code = (
        "from harness.runner import threads\nthreads.limit_memory({})\n"
        "try:\n    bytearray(400 * 10**6)\n    print('got it')\n"
        "except MemoryError:\n    print('no room')"
    )
    assert run(code.format(200 * MB)) == "no room"
    assert run(code.format(0)) == "got it"


def test_each_phase_has_its_own_peak() -> None:
    phases = Phases()
    phases.end()
    big = np.ones(100 * MB, np.uint8)
    phases.end()
    del big
    phases.end()
    phases.end()
    said = phases.record()
    if said.how == "peak":
        assert said.import_rss_bytes - said.base_rss_bytes > 90 * MB
        assert said.import_rss_bytes - said.infer_rss_bytes > 80 * MB
    assert phases.highest_bytes >= said.import_rss_bytes


def test_where_peaks_cannot_be_set_back_the_last_size_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "no folder" / "clear_refs")
    phases = Phases()
    kept = []
    for _ in range(4):
        kept.append(np.ones(20 * MB, np.uint8))
        phases.end()
    said = phases.record()
    assert said.how == "end"
    assert said.infer_rss_bytes - said.base_rss_bytes > 50 * MB


def test_a_size_that_the_kernel_does_not_know_is_zero() -> None:
    assert memory.read_bytes("VmNothing") == 0
    assert memory.read_bytes("VmRSS") > MB
