"""What jobs and commands print is bounded, by line and in total, and read in linear time."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import lines
from harness.containers import output
from harness.containers.output import follow, to_file
from harness.errors import StepFailed
from harness.lines import CUT, LONGEST_BYTES, Lines
from harness.transports import local
from harness.transports import output as collected
from harness.transports.local import LocalTransport

MB = 1 << 20


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_line_without_end_is_cut() -> None:
    told: list[str] = []
    cut = Lines(told.append)
    for _ in range(100):
        cut.feed(b"x" * 10_000)
    assert told == []
    cut.feed(b"\nshort\n")
    cut.feed(b"y" * (LONGEST_BYTES + 1))
    cut.end()
    assert told == ["x" * LONGEST_BYTES + CUT, "short", "y" * LONGEST_BYTES + CUT]
    assert CUT == " … (line truncated after 64 KB)"


def test_a_line_of_just_that_length_is_whole() -> None:
    told: list[str] = []
    whole = Lines(told.append)
    whole.feed(b"x" * LONGEST_BYTES + b"\n")
    assert told == ["x" * LONGEST_BYTES]


@pytest.mark.parametrize("size", [1, 7, 4096, 65536])
def test_lines_do_not_depend_on_their_pieces(size: int) -> None:
    text = "\n".join(["a" * 10, "", "ü\r", "b" * 70_000, "last"]).encode()
    told: list[str] = []
    pieces = Lines(told.append)
    for at in range(0, len(text), size):
        pieces.feed(text[at : at + size])
    pieces.end()
    assert told == ["a" * 10, "", "ü", "b" * LONGEST_BYTES + CUT, "last"]


def test_50_mb_without_a_newline_take_no_memory_and_little_time(tmp_path: Path) -> None:
    chunk = bytes(65536)

    def work() -> None:
        with to_file(tmp_path / "log.txt", lambda line: None) as log:
            for _ in range(800):
                log.feed(chunk)

    began = time.process_time()
    assert peak_bytes(work) < 2 * MB
    assert time.process_time() - began < 5


def test_a_log_ends_at_its_limit_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOG_BYTES", 100)
    path = tmp_path / "log.txt"
    with to_file(path) as log:
        for number in range(30):
            log.feed(f"line {number:4}\n".encode())
        assert log.text().endswith("line   29\n")
    assert path.read_bytes() == b"".join(f"line {n:4}\n".encode() for n in range(10)) + output.CUT
    before = path.read_bytes()
    with to_file(path, append=True) as log:
        log.feed(b"more")
    assert path.read_bytes() == before


def test_a_log_of_just_its_limit_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LOG_BYTES", 8)
    with to_file(tmp_path / "log.txt") as log:
        log.feed(b"12345678")
    assert (tmp_path / "log.txt").read_bytes() == b"12345678"


def test_the_last_lines_of_a_failure_are_short(tmp_path: Path) -> None:
    with to_file(tmp_path / "log.txt") as log:
        log.feed(b"x" * 60_000 + b"\nError: no\n")
        assert log.last_lines() == f"    {'x' * 500}\n    Error: no"


ESCAPED = "import os, time; print('here', flush=True); os.fork() or (os.setsid(), time.sleep(60))"


def test_what_a_job_leaves_behind_does_not_hold_its_output_open(tmp_path: Path) -> None:
    """It has left the job's process group, and has its output still."""
    code = ESCAPED.replace("time.sleep(60)", "time.sleep(4)")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    began = time.monotonic()
    with process, to_file(tmp_path / "log.txt") as log:
        assert follow(process, log) == 0
    assert time.monotonic() - began < 3
    assert (tmp_path / "log.txt").read_bytes() == b"here\n"


def test_a_child_that_prints_for_ever_does_not_hold_its_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "DRAIN_S", 0.5)
    script = "(trap '' HUP; i=0; while [ $i -lt 400 ]; do echo x; sleep 0.01; i=$((i+1)); done) &"
    with (
        subprocess.Popen(
            ["sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
        to_file(tmp_path / "log.txt") as log,
    ):
        began = time.monotonic()
        assert follow(process, log) == 0
        assert time.monotonic() - began < 2


def test_a_command_here_that_leaves_a_child_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "DRAIN_S", 0.3)
    code = ESCAPED.replace("time.sleep(60)", "time.sleep(5)")
    began = time.monotonic()
    done = LocalTransport("local").run([sys.executable, "-c", code], timeout_s=20)
    assert (done.exit_code, done.stdout) == (0, b"here\n")
    assert time.monotonic() - began < 4


def test_a_command_that_prints_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected, "LIMIT_BYTES", 3 * MB)
    with pytest.raises(StepFailed) as caught:
        LocalTransport("local").run(["cat", "/dev/zero"], timeout_s=20)
    assert caught.value.message == "cat: stopped after more than 3 MB of output"


def test_many_small_pieces_take_no_more_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_BYTES", 1000)
    told: list[str] = []

    def work() -> None:
        both = collected.Collected(Lines(told.append), Lines(told.append), "job")
        for _ in range(MB // 4):
            both.add(b"x", is_error=False)
        assert len(both.finish()[0]) == MB // 4

    assert peak_bytes(work) < 2 * MB
