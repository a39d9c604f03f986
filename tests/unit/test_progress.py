"""What a person sees while a run goes on, from recorded events: exact lines, exact widths."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from records_for_tests import ok_result
from rich.text import Text
from run_events import (
    CELLS,
    DEVICES,
    MEASUREMENT,
    MODELS,
    ONNX,
    PHONE,
    PREPARATION,
    Clock,
    Event,
    played,
)

from harness.cli import live_view, log_lines, settings, watch
from harness.cli.live_pages import LivePages
from harness.cli.progress import Progress
from harness.errors import BenchError
from harness.preview.estimate import Expected, expect
from harness.preview.history import History
from harness.runner.job import PROFILES

RESULT = "17.6 ms [17.5, 17.8] n=192"


def expected() -> Expected:
    history = History(
        {"image pytorch": 200.0, "image onnx": 100.0, "image tflite": 60.0},
        {(PHONE.id, "quick"): 40.0},
        {(PHONE.id, "quick"): 30.0, (ONNX.id, "quick"): 5.0},
    )
    return expect(CELLS, DEVICES, MODELS, PROFILES["quick"], 2, "quick", history)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def usual_settings() -> Iterator[None]:
    settings.set_all(settings.Settings())
    yield
    settings.set_all(settings.Settings())


def log(clock: Clock, events: tuple[Event, ...]) -> list[str]:
    """What a log gets, without colours."""
    progress = Progress(CELLS, expected(), clock)
    lines = [
        watch.styled(moment, progress, values)
        for name, values in played(clock, events)
        for moment in progress.add(name, values)
    ]
    return [Text.from_markup(line).plain for line in lines if line]


# ---- off a terminal ----------------------------------------------------------------------------


def test_a_step_of_the_preparation_is_said_when_it_begins_and_when_it_ends(clock: Clock) -> None:
    assert log(clock, PREPARATION) == [
        "   0:00  image pytorch: started",
        "   0:00  image onnx: started",
        "   1:40  image onnx: done in 1 min 40 s · 1 of 6 prepared · about 5 min left",
        "   1:40  convert rio to onnx fp32: started",
        "   2:10  convert rio to onnx fp32: done in 30 s · 2 of 6 prepared · about 4 min left",
        "   3:20  image pytorch: done in 3 min 20 s · 3 of 6 prepared · about 4 min left",
        "   3:20  reference of rio: started",
        "   3:50  reference of rio: done in 30 s · 4 of 6 prepared · about 4 min left",
        "   3:50  image tflite: started",
        "   4:50  image tflite: failed after 1 min 00 s · 5 of 6 prepared · about 3 min left",
        "   4:50  failed  rio-tflite-fp32-local-t1-b1  no index answers · 1 of 3 cells",
        "   4:50  check rio as onnx fp32: started",
        "   5:10  check rio as onnx fp32: done in 20 s · 6 of 6 prepared · about 2 min left",
    ]


def test_checks_trials_waits_and_losses_of_devices_are_lines_with_how_many_of_how_many(
    clock: Clock,
) -> None:
    phone, onnx = PHONE.id, ONNX.id
    assert log(clock, PREPARATION + MEASUREMENT)[13:] == [
        f"   5:10  phone: checking {phone}",
        f"   5:50  phone: checked {phone} in 40 s · 1 of 1 checked · about 1 min left",
        f"   5:50  {phone}: trial 1 of 2 started",
        "   5:52  phone: waiting to cool: cpu at 51 °C, limit 38 °C",
        f"   6:20  lost contact with phone at {phone}: no answer for 20 s",
        f"   6:40  {phone}: trial 1 of 2 done in 50 s · 1 of 2 trials on phone · about 20 s left",
        "   6:40  report so far: reports/r1/index.html",
        f"   6:40  {phone}: trial 2 of 2 started",
        f"   6:50  ok      {phone}  {RESULT} · 2 of 3 cells",
        f"   6:50  local: checking {onnx}",
        f"   6:51  local: checked {onnx} in 1.0 s · 1 of 1 checked · about 10 s left",
        f"   6:51  {onnx}: trial 1 of 2 started",
        f"   6:56  {onnx}: trial 1 of 2 done in 5.0 s · 1 of 2 trials on local · about 10 s left",
        f"   6:56  {onnx}: trial 2 of 2 started",
        f"   7:01  ok      {onnx}  {RESULT} · 3 of 3 cells",
    ]


def test_verbose_adds_every_step_of_a_cell_and_every_line_of_a_log(clock: Clock) -> None:
    settings.update(verbose=True)
    lines = log(clock, PREPARATION + MEASUREMENT)
    assert "   1:15  Collecting onnxruntime==1.31.1" in lines
    assert f"   5:10  {PHONE.id}: deploy" in lines
    assert f"   5:40  {PHONE.id}: deploy done in 30 s" in lines


def test_quiet_leaves_what_was_lost(clock: Clock) -> None:
    settings.update(quiet=True)
    assert log(clock, PREPARATION + MEASUREMENT) == [
        f"   6:20  lost contact with phone at {PHONE.id}: no answer for 20 s"
    ]


def test_a_device_that_goes_on_waiting_says_so_once_a_minute(clock: Clock) -> None:
    progress = Progress(CELLS, expected(), clock)
    said = []
    for at in (0, 5, 55, 61, 119, 122):
        clock.now = at
        said += progress.add("wait", {"device": "phone", "reason": f"hot at {at}"})
    assert [moment.detail for moment in said] == ["hot at 0", "hot at 61", "hot at 122"]


def test_in_a_long_silence_what_runs_is_said(clock: Clock) -> None:
    progress = Progress(CELLS, expected(), clock)
    assert log_lines.still_running(progress) == ""
    for name, values in played(clock, PREPARATION[:2]):
        progress.add(name, values)
    clock.now = 60
    assert log_lines.still_running(progress) == (
        "   1:00  still running: image pytorch (1 min 00 s), image onnx (1 min 00 s)"
        " · about 6 min left"
    )
    for name, values in played(clock, (*PREPARATION[2:], *MEASUREMENT[:5])):
        progress.add(name, values)
    clock.now = 400
    assert log_lines.still_running(progress) == (
        f"   6:40  still running: phone: trial 1 of 2, {PHONE.id} (50 s) · about 20 s left"
    )


def test_the_silence_is_broken_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "SILENCE_S", 0.1)
    with watch.LogProgress(Progress(CELLS, expected())) as progress:
        progress("task", step="images", task="image pytorch")
        until = time.monotonic() + 5.0
        seen = ""
        while "still running" not in seen and time.monotonic() < until:
            time.sleep(0.02)
            seen += capsys.readouterr().err
    assert "still running: image pytorch (0.1 s)" in seen


def test_text_of_others_cannot_colour_or_move_what_is_printed(clock: Clock) -> None:
    settings.update(verbose=True)
    line = "\x1b[31m[bold]100 %[/bold]\r\x07 done"
    assert log(clock, ((0, "log", {"line": line}),)) == ["   0:00  [bold]100 %[/bold] done"]


def test_events_of_cells_that_had_results_before_are_not_counted(clock: Clock) -> None:
    skipped = replace(ok_result(), cell=replace(ONNX, precision="int8"))
    event = {"cell": skipped.cell.id, "status": "skipped", "result": skipped}
    assert log(clock, ((0, "cell", event), (0, "provisional", event))) == []


# ---- the estimate ------------------------------------------------------------------------------


def test_after_three_trials_a_device_s_own_pace_decides(clock: Clock) -> None:
    cells = (ONNX,)
    progress = Progress(
        cells, expect(cells, DEVICES, MODELS, PROFILES["quick"], 10, "quick", History())
    )
    progress.clock = clock
    progress.ended_count = progress.task_count = 1
    for number in range(4):
        clock.now = 20.0 * number
        place = {"position": number, "total": 10, "next": ""}
        progress.add("trial", {"cell": ONNX.id, "index": number, "of": 10, **place})
        clock.now += 20.0
        ended = {"cell": ONNX.id, "index": number, "seconds": 20.0, **place}
        progress.add("trial_end", ended)
    assert progress.left_s() == pytest.approx(6 * 20.0)
    clock.now += 5.0
    assert progress.left_s() == pytest.approx(6 * 20.0 - 5.0)


# ---- on a terminal -----------------------------------------------------------------------------


def view(clock: Clock, count: int, width: int) -> list[str]:
    """The rows after so many events, two seconds later."""
    progress = Progress(CELLS, expected(), clock)
    for name, values in played(clock, (*PREPARATION, *MEASUREMENT)[:count]):
        progress.add(name, values)
    clock.now += 2
    return [text for _, text in live_view.rows(progress, width)]


def test_while_things_are_prepared_the_terminal_shows_which_since_when_and_what_follows(
    clock: Clock,
) -> None:
    assert view(clock, 3, 80) == [
        "prepare  ──────────  starting",
        "         image pytorch · 1:17",
        "         image onnx · 1:17",
        "         Collecting onnxruntime==1.31.1",
        "then     local: 2 cells, phone: 1 cell",
        "cells    ──────────  0 of 3 · 1:17 · about 5 min left",
    ]


def test_while_a_device_measures_the_terminal_shows_its_trial_why_it_waits_and_what_is_next(
    clock: Clock,
) -> None:
    assert view(clock, 20, 80) == [
        "phone    ──────────  0 of 2 trials · onnx fp32, 1 of 2 · 0:04",
        "         waiting to cool: cpu at 51 °C, limit 38 °C",
        "         next onnx fp32",
        "then     local: 1 cell",
        "cells    ━━━───────  1 of 3 · 1 failed · 5:54 · about 1 min left",
    ]


def test_a_wide_terminal_has_longer_bars(clock: Clock) -> None:
    assert view(clock, 17, 140)[0] == (
        "phone    ────────────────────────  0 of 1 checked · onnx fp32: parity · 0:32"
    )


@pytest.mark.parametrize("width", [20, 40, 80, 140])
def test_no_row_is_wider_than_the_terminal(clock: Clock, width: int) -> None:
    for count in range(len(PREPARATION + MEASUREMENT) + 1):
        clock.now = 0
        assert max(map(len, view(clock, count, width))) <= width


def test_a_cell_is_named_by_what_sets_it_apart() -> None:
    others = [ONNX, replace(ONNX, threads=2), replace(ONNX, model="cards")]
    assert live_view.label(ONNX, [ONNX, PHONE]) == "onnx fp32"
    assert live_view.label(ONNX, others) == "rio onnx fp32 t1"
    assert live_view.label(ONNX, [ONNX, replace(ONNX, batch=4)]) == "onnx fp32 b1"


def in_terminal(work: Any, columns: int) -> str:
    """What is written to a terminal of that width while `work` has stderr on it."""
    outer, inner = pty.openpty()
    os.set_blocking(outer, False)
    seen, over = bytearray(), threading.Event()

    def read() -> None:
        while not over.wait(0.01):
            try:
                seen.extend(os.read(outer, 1 << 16))
            except (BlockingIOError, OSError):
                continue

    reader = threading.Thread(target=read)
    reader.start()
    with open(inner, "w") as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm-256color")
        work()
    time.sleep(0.1)
    over.set()
    reader.join()
    os.close(outer)
    return seen.decode()


@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal_results_stay_and_the_rest_is_drawn_again(columns: int) -> None:
    def work() -> None:
        with watch.watcher(False, CELLS, expected()) as progress:
            assert isinstance(progress, watch.LiveProgress)
            for _, name, values in (*PREPARATION, *MEASUREMENT):
                progress(name, **values)
            time.sleep(0.4)

    seen = in_terminal(work, columns)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen).replace("\r", "\n")
    assert f"  ok      {PHONE.id}  {RESULT}\n" in plain
    assert "lost contact with phone" in plain
    assert "image tflite: failed after 1 min 00 s" in plain
    assert "cells    " + "━" * (24 if columns == 140 else 10) in plain
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor is back


def test_a_forced_colour_does_not_make_a_log_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watch.watcher(False, CELLS, expected()) as progress:
        for _, name, values in (*PREPARATION, *MEASUREMENT):
            progress(name, **values)
    seen = capsys.readouterr().err
    assert isinstance(progress, watch.LogProgress)
    assert "\x1b[32mok     \x1b[0m" in seen
    assert "\x1b[?25l" not in seen


def test_json_is_every_event_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with watch.watcher(True, CELLS, expected()) as progress:
        progress("task", step="images", task="image onnx")
        progress("cell", cell=ONNX.id, status="ok", result=ok_result())
    seen = capsys.readouterr()
    first, second = map(json.loads, seen.out.splitlines())
    assert (first["event"], first["task"], seen.err) == ("task", "image onnx", "")
    assert second["result"]["cell"]["format"] == "onnx"


# ---- pages while it goes on --------------------------------------------------------------------


def test_pages_are_written_as_numbers_come_and_not_too_often(tmp_path: Any) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    written = []

    def write() -> Any:
        written.append(len(written))
        return tmp_path / "index.html"

    pages = LivePages(write, lambda event, **values: events.append((event, values)))
    for event in ("task", "provisional", "provisional", "cell"):
        pages(event)
    assert written == [0]
    assert events == [
        ("task", {}),
        ("provisional", {}),
        ("report", {"page": str(tmp_path / "index.html")}),
        ("provisional", {}),
        ("cell", {}),
    ]


def test_pages_that_cannot_be_written_do_not_end_the_run() -> None:
    events: list[tuple[str, dict[str, Any]]] = []

    def write() -> Any:
        raise BenchError("disk full")

    LivePages(write, lambda event, **values: events.append((event, values)))("provisional")
    assert events == [("provisional", {}), ("log", {"line": "pages: disk full"})]
