"""What a report says of devices: their pages, their state, what ran on them and what it cost."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_run import devices as example_devices
from example_run.run import DEVICES, ExampleRun, example
from test_report_html import EVIL, Text, html

from harness.records import (
    Arrivals,
    Cell,
    Interval,
    Layer,
    PhaseMemory,
    Plan,
    RateTried,
    RunDevice,
    Trial,
)
from harness.report import costs, statechart
from harness.report.build import build
from harness.report.data import TrialSamples
from harness.report.page import cell_href, device_href
from harness.report.pages.sustained import over_trials, ranks
from harness.report.patterns import pattern
from harness.report.patterns.sustained import medians_of
from harness.report.placement import layers
from harness.report.readings import States, read_states
from harness.serial import dumps
from harness.store import RunFolder

SIX = (*DEVICES, "host-a", "host-b")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExampleRun:
    return example(tmp_path_factory.mktemp("run"), samples=80, trials=2)


@pytest.fixture(scope="module")
def report(run: ExampleRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(run, tmp_path_factory.mktemp("report"), noise=example_devices.noise()).parent


def text(report: Path, page: str) -> str:
    return Text(html(report / page)).text


def cell(report: Path, name: str) -> str:
    return text(report, cell_href(f"rio-{name}-t1-b1"))


def figure(report: Path, page: str, chart: str) -> dict[str, list[dict[str, list[float]]]]:
    found = re.search(rf'id="{chart}-data">(.*?)</script>', html(report / page), re.S)
    assert found, chart
    return json.loads(found[1])


def trial(**values: object) -> Trial:
    state = example_devices.state("local", 1000.0)
    plain = Trial(0, "t", 1, 1, 1, True, "interval", 9, 3, "1", "3", 1, state, state)
    return replace(plain, **values)  # type: ignore[arg-type]


def test_a_device_s_page_says_what_it_is_and_how_it_was_held(report: Path) -> None:
    told = text(report, device_href("jetson"))
    for words in (
        "model Jetson Orin Nano", "SoC T234", "build L4T 36.4.0", "driver CUDA 12.6", "arm64",
        "power_mode 15W", "floor, quick 7.40 %", "A/A +2.10 % [-4.30 %, +8.90 %]",
        "improve cooling", "onnx fp32, trial 0 discarded and repeated: throttled",
        "pytorch fp32 invalid: trial 2: discarded 3 times",
    ):  # fmt: skip
        assert words in told, words
    assert "was excluded: lost 3 times" in text(report, device_href("phone-arm64"))
    assert "Not measured; run bench check-noise" in text(report, device_href("pi5"))


def test_an_emulated_device_s_milliseconds_are_bracketed_on_its_page(report: Path) -> None:
    told = text(report, device_href("phone-arm64"))
    assert "(emulated: 546 ms" in told
    assert not re.search(r"(?<!emulated: )\b546 ms", told)
    assert "emulated" in text(report, "devices.html")
    page = cell(report, "onnx-fp32-phone-arm64")
    assert "ms per run" not in page.split("Layers")[1].split("Trials")[0]


def test_the_state_over_the_run_is_drawn_from_readings(report: Path) -> None:
    data = figure(report, device_href("jetson"), "run-state")["data"]
    hottest = [v for v in data[0]["y"] if v is not None]
    assert hottest[0] < 60 < 90 < max(hottest) < 110, "the sensor that says 4095 is left out"
    assert min(v for v in data[1]["y"] if v is not None) < 1000 < 1400 < data[1]["y"][0]


def test_a_run_without_any_of_it_still_has_its_pages(tmp_path: Path) -> None:
    old = example(tmp_path / "run", ("local",), ("onnx",), samples=70, rich=False)
    out = build(old, tmp_path / "report").parent
    told = text(out, device_href("local"))
    assert "Not recorded by this run." in told
    assert "none during them" in told, "before and after each trial"
    page = cell(out, "onnx-fp32-local")
    for words in (
        "Energy",
        "Memory",
        "Threads requested",
        "Layers",
        "Execution placement",
        "mean power",
    ):
        assert words not in page
    assert not (out / "sustained.html").exists()
    assert "sustained.html" not in html(out / "index.html")


def test_a_cell_shows_memory_energy_threads_placement_and_layers(report: Path) -> None:
    told = cell(report, "tflite-fp32-jetson")
    for words in (
        "before the runtime 41.0 MB", "Peak of each phase.", "on-board rail: INA3221 VDD_IN",
        "unknown, not subtracted", "busy in the timed loop 1", "XNNPACK 56 93.3 %",
        "The 30 slowest of 60 layers", "/model.0/conv_0",
    ):  # fmt: skip
        assert words in told, words
    assert "3.10 W, subtracted" in cell(report, "onnx-fp32-local")
    assert "the battery gauge did not change" in cell(report, "onnx-fp32-phone-arm64")


def test_readings_lie_under_the_samples_by_the_same_clock(report: Path) -> None:
    data = figure(report, cell_href("rio-onnx-fp32-local-t1-b1"), "timeline")["data"]
    kinds = {trace["yaxis"] for trace in data}  # type: ignore[misc]
    assert kinds == {"y", "y2", "y3", "y4"}, "samples, temperature, clock, power"
    assert data[2]["x"][0] == -3.0, "the sampler began 3 s before the first sample"


def test_readings_of_another_clock_are_not_laid_over_samples() -> None:
    samples = TrialSamples(1, np.ones(3), np.arange(3.0), began_s=50.0)
    far = States(np.array([9000.0, 9001.0]), {"hottest_c": np.array([50.0, 51.0])})
    made = statechart.placed([samples], [far])
    assert made[0].at_s.tolist() == [0.0, 1.0]
    assert statechart.notes(made) == (
        "Readings of trial 1 share no clock with the samples: they start at 0 here.",
    )


def test_a_throttled_cell_shows_its_heat_and_no_number(report: Path) -> None:
    page = html(report / cell_href("rio-pytorch-fp32-jetson-t1-b1"))
    assert 'id="state"' in page
    assert 'id="timeline"' not in page
    assert "Device state during the trials" in page


def test_each_pattern_has_its_plot(report: Path) -> None:
    server = cell(report, "openvino-fp32-local")
    assert "highest rate within the bound 35.4 requests/s" in server
    assert "✕ missed" in server
    drawn = figure(report, cell_href("rio-openvino-fp32-local-t1-b1"), "pattern")
    assert drawn["layout"]["shapes"][0]["y0"] == 60.0  # type: ignore[call-overload]
    assert "without pauses (warm-up): median" in cell(report, "onnx-fp16-local")
    assert "images/s" in cell(report, "tflite-fp32-local")
    assert "median at the end" in cell(report, "onnx-fp16-jetson")
    assert 'id="pattern"' not in html(report / cell_href("rio-onnx-fp32-local-t1-b1"))


def highest_rate(*kept: bool | None, best: float | None) -> str:
    """What the cell's page says of a search that tried 10, 20, … a second."""
    rates = tuple(RateTried(10.0 * (i + 1), 9, 1.0, None, 2.0, 0, k) for i, k in enumerate(kept))
    arrived = Arrivals("server", 9, 1.0, 9.0, bound_ms=50.0, rates=rates, best_rate_hz=best)
    empty = TrialSamples(0, np.empty(0), np.empty(0))
    shown = pattern([trial(arrivals=arrived)], [empty])
    assert shown is not None
    return dict(shown.facts)["highest rate within the bound"]


def test_a_rate_whose_time_was_over_is_neither_kept_nor_broken() -> None:
    assert highest_rate(False, False, best=None) == "none of those tried"
    assert highest_rate(None, None, best=None).startswith("unknown: too few responses")
    assert highest_rate(True, False, best=10.0) == "10.0 requests/s"
    assert highest_rate(True, None, best=10.0) == "at least 10.0 requests/s"
    assert highest_rate(None, True, False, best=20.0) == "20.0 requests/s"


def test_the_rank_of_minute_1_is_not_that_of_the_end(tmp_path: Path) -> None:
    run = example(tmp_path / "run", devices=("jetson",), samples=1500, trials=3)
    report = build(run, tmp_path / "report").parent
    rows = re.findall(r'<th scope="row" data-value="([^"]+)">.*?data-value="([^"]+)">.*?'
                      r'data-value="([^"]+)">', html(report / "sustained.html"))  # fmt: skip
    assert rows[0][0] == "tflite fp16"
    assert rows[0][1:] == ("3", "1")


def test_cells_whose_intervals_overlap_share_a_rank() -> None:
    spreads = [Interval(11, 10, 12), Interval(12, 11, 13), Interval(20, 20, 21), Interval(5, 5, 5)]
    assert ranks(spreads) == ("2–3", "2–3", "4", "1")


def test_a_minute_s_interval_covers_what_trials_differ_by() -> None:
    """Two identical cells whose processes differ by 1 %: hardly ever ranked 1 and 2."""
    rng = np.random.default_rng(3)
    ranked = 0
    for _ in range(200):
        minutes = [
            [
                (1e7 * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.02, 200))).astype(np.int64)
                for _ in range(3)
            ]
            for _ in range(2)
        ]
        ranked += "1" in ranks([over_trials(trials) for trials in minutes])
    assert ranked <= 12


def test_medians_are_of_every_ten_seconds() -> None:
    start = np.array([0.0, 1.0, 9.9, 10.0, 35.0])
    samples = TrialSamples(0, np.array([1.0, 2.0, 3.0, 7.0, 9.0]), start)
    minutes, medians = medians_of(samples)
    assert medians == [2.0, 7.0, 9.0]
    assert np.allclose(np.array(minutes) * 60, [5, 15, 35])
    assert medians_of(TrialSamples(0, np.empty(0), np.empty(0))) == ([], [])


def test_many_devices_have_numbered_reasons_that_are_listed_once(tmp_path: Path) -> None:
    run = example(tmp_path / "run", SIX, samples=70, trials=1)
    out = build(run, tmp_path / "report").parent
    page = html(out / "index.html")
    told = Text(page).text
    assert told.count("openvino does not support int8") == 1
    assert re.search(
        r"openvino does not support int8: its quantiser needs calibration data 6 cells", told
    )
    for number in set(re.findall(r'href="#reason-(\d+)"', page)):
        assert f'id="reason-{number}"' in page
    heads = re.findall(r'<th [^>]*data-device="([^"]+)"', page)
    assert heads == [*(d for d in SIX if d != "phone-arm64"), "phone-arm64"], "emulated come last"
    assert told.count("Smallest within") == 1, "what all devices share is said once"


def test_a_device_called_like_a_script_stays_text(tmp_path: Path) -> None:
    run = example(tmp_path / "run", ("local",), ("onnx",), samples=70)
    first = run.results[0]
    odd = Cell(EVIL, "onnx", "fp32", EVIL)
    evil_layer = dumps([Layer(EVIL, EVIL, EVIL, 1.0, 1.0)])
    (tmp_path / "run" / "cells" / first.cell.id / "layers.json").write_text(evil_layer)
    about = RunDevice(EVIL, EVIL, EVIL, (EVIL,), EVIL, held=(EVIL,), set_aside=EVIL)
    folder = RunFolder(tmp_path / "run")
    folder.write_device(replace(about, name="local"))
    (tmp_path / "run" / "devices" / "odd.json").write_text(dumps(about))
    voided = replace(first.trials[0], voided=(EVIL,), state_flags=(EVIL,), state_notes=(EVIL,))
    results = (first, replace(first, cell=odd, trials=(voided,)))
    evil = replace(run, plan=Plan((first.cell, odd), ()), results=results)
    noise = replace(example_devices.noise()["local"], cell_id=EVIL, advice=(EVIL,), flags=(EVIL,))
    out = build(evil, tmp_path / "report", noise={EVIL: noise}).parent
    for page in out.rglob("*.html"):
        assert "<script>alert" not in html(page)
    assert EVIL in text(out, device_href(EVIL))
    assert EVIL in cell(out, "onnx-fp32-local"), "the layer"
    assert "alert('x')" not in " ".join(p.name for p in out.rglob("*"))


def test_lines_that_are_no_readings_are_left_out(tmp_path: Path) -> None:
    assert read_states(tmp_path) is None
    lines = [
        '{"at_s": 5, "temperatures_c": {"a": 4095, "b": 40.5}, "power_w": {"in": 6, "cpu": 2}}',
        "torn {", '{"at_s": "x"}', "[1]",
        '{"at_s": 4, "frequency_khz": {"0": 1000, "1": 3000}}',
    ]  # fmt: skip
    (tmp_path / "state.jsonl").write_text("\n".join(lines))
    states = read_states(tmp_path, cpus=(1,))
    assert states is not None
    assert states.at_s.tolist() == [4.0, 5.0]
    assert states.values["hottest_c"].tolist()[1:] == [40.5]
    assert states.values["clock_mhz"].tolist()[:1] == [3.0]
    assert states.values["power_w"].tolist()[1:] == [6.0], "a rail that feeds others counts once"
    assert not states.known("battery_percent")


def test_power_is_taken_from_counters_where_no_sensor_says_it(tmp_path: Path) -> None:
    counted = (0.0, 1e6, 5e6, 1e6)
    lines = [f'{{"at_s": {n}, "energy_uj": {{"a": {uj}, "b": 0}}}}' for n, uj in enumerate(counted)]
    (tmp_path / "state.jsonl").write_text("\n".join(lines))
    states = read_states(tmp_path)
    assert states is not None
    watts = states.values["power_w"]
    assert watts[1:3].tolist() == [1.0, 4.0]
    assert np.isnan(watts[[0, 3]]).all(), "the counter began again"


def test_a_device_that_slept_has_its_samples_moved_to_its_readings(tmp_path: Path) -> None:
    run = example(tmp_path / "run", ("local",), ("onnx", "pytorch"), samples=70, trials=1)
    first = run.results[0]
    slept = replace(first.trials[0], boot_offset_s=1.0)
    moved = replace(run, results=(replace(first, trials=(slept,)),))
    out = build(moved, tmp_path / "report").parent
    data = figure(out, cell_href(first.cell.id), "timeline")["data"]
    assert data[1]["x"][0] == -4.0


def test_damaged_layers_are_said(tmp_path: Path) -> None:
    place = tmp_path / "cells" / Cell("rio", "onnx", "fp32", "local").id
    place.mkdir(parents=True)
    for damaged in ("{", '{"layers": 7}', '[{"name": 3}]'):
        (place / "layers.json").write_text(damaged)
        shown = layers(tmp_path, Cell("rio", "onnx", "fp32", "local"), True)
        assert shown is not None
        assert shown.missing.startswith("layers.json is unreadable")
    assert layers(tmp_path, Cell("..", "..", "fp32", ".."), True) is None


def test_memory_of_a_phase_that_gave_some_back_has_no_width() -> None:
    made = costs.memory([trial(memory=PhaseMemory(100, 300, 250, 400, "end"))])
    assert made is not None
    assert [p.width for p in made.parts] == [22.22, 44.44, 0.0, 33.33]
    assert made.parts[2].text == "-0.0000500 MB"
    assert "has no peak" in " ".join(made.notes)


def test_threads_that_nobody_asked_for_are_said() -> None:
    told = dict(costs.threads(1, [trial(busy_threads=2), trial(busy_threads=2)]))
    assert told["busy in the timed loop"] == "2 – differs from the request"
    assert costs.threads(1, [trial()]) == ()


def test_arrivals_without_samples_have_figures_and_no_plot(tmp_path: Path) -> None:
    run = example(tmp_path / "run", ("local",), ("tflite", "pytorch"), samples=70, trials=1)
    for made in run.results:
        for one in made.trials:
            (tmp_path / "run" / one.folder / "samples.npz").write_bytes(b"")
    out = build(run, tmp_path / "report").parent
    told = cell(out, "tflite-fp32-local")
    assert "images/s" in told
    assert 'id="pattern"' not in html(out / cell_href("rio-tflite-fp32-local-t1-b1"))
