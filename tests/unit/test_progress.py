"""What a person sees while a run goes on, from recorded events: exact lines, exact widths."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from run_events import CELLS, DEVICES, MEASUREMENT, ONNX, PHONE, PREPARATION, Clock, Event, played

from harness.cli import live_view, log_lines, settings, watch
from harness.cli.progress import Progress
from harness.preview.estimate import Expected, expect
from harness.preview.history import History
from harness.runner.job import PROFILES


def expected() -> Expected:
    history = History(
        {"image pytorch": 200.0, "image onnx": 100.0, "image tflite": 60.0},
        {(PHONE.id, "quick"): 40.0},
        {(PHONE.id, "quick"): 30.0, (ONNX.id, "quick"): 5.0},
    )
    return expect(CELLS, DEVICES, PROFILES["quick"], 2, "quick", history)


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
    out = []
    for name, values in played(clock, events):
        for moment in progress.add(name, values):
            if line := watch.styled(moment, progress, values):
                out.append(watch.console.plain_text(line))
    return out


def test_a_log_has_a_line_when_a_step_begins_and_one_when_it_ends(clock: Clock) -> None:
    assert log(clock, PREPARATION) == []
