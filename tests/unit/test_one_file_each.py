"""One more thing is one file: each is registered here, nothing else is told of it, and all of bench
takes it: the scenario and its schema, the run, the export, the gates and the pages.

The run is a real one, from the YAML to the HTML; only the container is this process, and the
runtime is a few lines of numpy.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import jsonschema
import numpy as np
import pytest
from made_up import (
    CLAY,
    METRIC,
    PAGE,
    PATTERN,
    SLOT,
    TASK,
    TOASTER,
    Burst,
    Pigeon,
    World,
    numpy_format,
    scenario,
    write_project,
)

from harness import export, formats, kinds, metrics, runtimes, tasks, transports
from harness.cli import run_text
from harness.errors import ConfigError
from harness.metrics.spec import Held, MetricSpec
from harness.records import CellResult
from harness.report import pages as report_pages
from harness.report.build import BUGS, build, build_run
from harness.report.page import Maker, cell_href
from harness.runner import patterns
from harness.scenario import config, init_project
from harness.store import Run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    write_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        patch.setattr("harness.run.trial.monitored", lambda how, measure: (measure(), ()))
        for name in ("pytorch", "onnx"):
            patch.setitem(formats.REGISTRY, name, numpy_format(name))
        registries: list[tuple[Any, str, Any]] = [
            (metrics.REGISTRY, "counting", METRIC),
            (patterns.REGISTRY, "burst", PATTERN),
            (tasks.REGISTRY, "count", TASK),
            (report_pages.REGISTRY, "counts", PAGE),
        ]
        for registry, name, thing in registries:
            patch.setitem(registry, name, thing)
        yield World(root)


@pytest.fixture(scope="module")
def run(world: World) -> Run:
    return world.run("r1")


@pytest.fixture(scope="module")
def report(world: World, run: Run) -> Path:
    return build_run(run.folder, world.root / "report").parent


def cell(run: Run, format: str, precision: str) -> CellResult:
    return next(r for r in run.results if (r.cell.format, r.cell.precision) == (format, precision))


# ---- planned: what fits is accepted, what does not is refused at its line ----------------------


def test_gates_of_a_metric_are_keys_of_the_scenario(world: World) -> None:
    gates = world.scenario(scenario()).gates
    assert gates == {"count_error_rise": 0.5, "count_error_max": 2.0}
    text = scenario().replace("count_error_rise: 0.5", "count_error_rose: -1")
    assert world.mistakes(text) == [
        "s.yaml:8: gates.count_error_rose: unknown key; did you mean 'count_error_rise'?"
    ]
    assert world.mistakes(text.replace("rose", "rise")) == [
        "s.yaml:8: gates.count_error_rise: input should be greater than or equal to 0, got -1"
    ]


def test_a_gate_that_no_model_here_can_meet_is_refused(world: World) -> None:
    text = scenario()
    assert world.mistakes(text.replace("count_error_max: 2", "top1_drop: 0.1")) == [
        "s.yaml:8: gates.top1_drop: no model has the metric Top-1; "
        "known: count_error_rise, count_error_max"
    ]
    assert world.mistakes(text.replace("accuracy: {dataset: val}\n", "")) == [
        "s.yaml:7: gates.count_error_rise: requires `accuracy`"
    ]


def test_options_of_a_pattern_are_checked_against_its_bounds(world: World) -> None:
    text = scenario()
    rules = world.scenario(text).measuring.options
    assert patterns.options(rules) == Burst(3, (1.0,))
    assert patterns.longest_loop_s(rules) == 21.0
    text = text.replace("{size: 3}", "{size: 17, pauses_ms: [1, 0], pause: 1}")
    assert world.mistakes(text) == [
        "s.yaml:6: measure.burst.size: input should be less than or equal to 16, got 17",
        "s.yaml:6: measure.burst.pauses_ms[1]: input should be greater than 0, got 0",
        "s.yaml:6: measure.burst.pause: unknown key; did you mean 'pauses_ms'?",
    ]
    assert world.mistakes(scenario().replace("pattern: burst", "pattern: b")) == [
        "s.yaml:6: measure.pattern: 'b' is not one of single, offline, camera, server, sustained, "
        "burst"
    ]


def test_a_task_is_known_to_model_files_and_to_new_projects(world: World) -> None:
    assert world.planned(scenario())[1].models["m"].spec.task == "count"
    path = world.root / "models/m/model.yaml"
    good = path.read_text()
    path.write_text(good.replace("task: count", "task: cuont"))
    try:
        assert world.mistakes(scenario()) == [
            "models/m/model.yaml:1: task: 'cuont' is not one of classification, detection, "
            "instance-segmentation, keypoints, semantic-segmentation, tensor, count"
        ]
    finally:
        path.write_text(good)
    assert "| tensor | count" in init_project.model()


def test_the_schema_has_them(world: World) -> None:
    schema = config.schema()
    asked: dict[str, Any] = {"name": "x", "models": ["m"], "formats": ["onnx"]}
    jsonschema.validate({**asked, "measure": {"pattern": "burst", "burst": {"size": 4}}}, schema)
    jsonschema.validate({**asked, "gates": {"count_error_rise": 0.5}}, schema)
    for wrong in ({"measure": {"burst": {"size": 0}}}, {"gates": {"count_error_drop": 0.5}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**asked, **wrong}, schema)
    about = schema["$defs"]["Gates"]["properties"]["count_error_rise"]["description"]
    assert about == "Maximum rise of Count error, objects relative to the fp32 reference."


# ---- run: the task decodes, the metric scores, the pattern times -------------------------------


def test_a_cell_is_scored_by_the_metric_of_its_task(run: Run) -> None:
    assert {(r.cell.format, r.cell.precision): r.status for r in run.results} == {
        ("pytorch", "fp32"): "ok",
        ("pytorch", "int8"): "skipped",
        ("onnx", "fp32"): "ok",
        ("onnx", "int8"): "ok",
    }
    right, wrong = cell(run, "onnx", "fp32").scores, cell(run, "onnx", "int8").scores
    assert right
    assert wrong
    assert (right.metric, right.values) == ("counting", {"count_error": 0.0, "count_worst": 0.0})
    assert wrong.values == {"count_error": 1.0, "count_worst": 1.0}
    parity = cell(run, "onnx", "int8").parity
    assert parity
    assert parity.reference_metrics == right.values


def test_a_cell_that_is_worse_than_the_metric_allows_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = METRIC.SPEC.values
    strict = replace(first, held=Held({"int8": 0.5}, relative=False))
    monkeypatch.setattr(METRIC, "SPEC", MetricSpec("Counting", (strict, second)))
    failure = cell(world.run("strict"), "onnx", "int8").failure
    assert failure
    assert (failure.step, failure.reason) == (
        "score",
        "accuracy: count_error 1 is 1 above the fp32 reference 0 (limit for int8: 0.5)",
    )


def test_the_pattern_ran_with_its_options(run: Run) -> None:
    (trial,) = cell(run, "onnx", "fp32").trials
    assert trial.arrivals
    assert (trial.arrivals.pattern, trial.arrivals.n) == ("burst", 9)  # three bursts for 8 samples
    assert trial.arrivals.figures == {"size": 3.0, "bursts": 3.0}
    with np.load(run.folder / trial.folder / "samples.npz") as samples:
        assert len(samples["latency_ns"]) == len(samples["start_ns"]) == 9


# ---- gated, exported, compared -----------------------------------------------------------------


def test_a_broken_gate_is_named(run: Run) -> None:
    broken = cell(run, "onnx", "int8").cell.id
    assert run.info.broken_gates == (f"{broken}: count_error_rise: 1.000 > 0.5",)
    assert run.info.gates == {"count_error_rise": 0.5, "count_error_max": 2.0}


def test_its_values_are_the_last_columns_of_the_export(run: Run, tmp_path: Path) -> None:
    columns = export.columns()
    assert columns[: len(export.COLUMNS)] == export.COLUMNS
    assert columns[-2:] == ("count_error", "count_worst")
    rows = {r["cell_id"]: r for r in csv.DictReader(io.StringIO(export.as_csv(run).decode()))}
    row = rows[cell(run, "onnx", "int8").cell.id]
    assert (row["count_error"], row["count_worst"], row["map50_95"]) == ("1.0", "1.0", "")
    path = tmp_path / "x.parquet"
    path.write_bytes(export.as_parquet(run))
    with duckdb.connect() as database:
        relation = database.sql(f"SELECT count_error FROM '{path}'")
        assert [str(kind) for kind in relation.types] == ["DOUBLE"]
    assert "| 9 | Count error 1.000 objects |" in export.as_markdown(run).decode()
    suite = ElementTree.fromstring(export.as_junit(run))
    (failure,) = suite.iter("failure")
    assert "count_error_rise: 1.000 > 0.5" in (failure.get("message") or "")


def test_the_terminal_shows_the_headline(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_text.show_run(run)
    said = capsys.readouterr().out
    assert "Count error" in said
    assert "1.000 objects" in said
    assert "gate failed" in said
    assert "mAP" not in said


def test_results_that_arrived_in_another_way_are_not_compared(run: Run) -> None:
    from harness.analysis.differences import arrivals

    assert arrivals(cell(run, "onnx", "fp32")) == "burst, 3 at a time"


# ---- drawn -------------------------------------------------------------------------------------


def test_the_front_page_has_the_column_and_marks_the_lowest(run: Run, report: Path) -> None:
    html = (report / "index.html").read_text()
    assert ">Count error</th>" in html
    assert "1.00 objects" in html
    assert "count_error_rise: 1.000 &gt; 0.5" in html
    assert "mAP" not in html
    figures = re.findall(r'data-head="Count error" data-value="([^"]+)">(.*?)</td>', html)
    assert [(value, "★" in text) for value, text in figures] == [
        ("0.0", False),  # two of three share the best
        ("0.0", False),
        ("1.0", False),
    ]


def test_latency_is_drawn_against_it(report: Path) -> None:
    html = (report / "pareto.html").read_text()
    assert "Median latency against Count error." in html


def test_a_cell_s_page_shows_the_metric_and_the_pattern(run: Run, report: Path) -> None:
    html = (report / cell_href(cell(run, "onnx", "int8").cell.id)).read_text()
    assert "<dt>Count error</dt><dd>1.000 objects</dd>" in html
    assert "<dt>Worst count</dt><dd>1.0</dd>" in html
    assert "<h2>Images in bursts</h2>" in html
    assert "<dt>images of a burst</dt><dd>3.00</dd>" in html
    assert "<dt>bursts</dt><dd>3 in all trials</dd>" in html


def test_a_page_needs_no_template_of_its_own(report: Path) -> None:
    html = (report / "counts.html").read_text()
    assert "How far off each cell counts." in html
    assert "<dt>onnx int8</dt><dd>1.0 off</dd>" in html
    assert '<a href="counts.html">Counts</a>' in (report / "index.html").read_text()


def test_a_page_that_meets_a_bug_ends_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(report: Any) -> Any:
        raise ZeroDivisionError("moon")
        yield

    monkeypatch.setitem(report_pages.REGISTRY, "moon", Maker("Moon phases", "moon.html", make))  # type: ignore[misc]
    index = build(run, tmp_path / "report")
    assert "counted" in index.read_text()
    assert "bug: ZeroDivisionError: moon" in (tmp_path / "report/moon.html").read_text()
    text = (tmp_path / "report" / BUGS).read_text()
    assert "unexpected ZeroDivisionError in page moon of r1" in text
    monkeypatch.delitem(report_pages.REGISTRY, "moon")  # type: ignore[misc]
    build(run, tmp_path / "report")
    assert not (tmp_path / "report" / BUGS).exists()


# ---- a kind, a transport, a runtime, a format ---------------------------------------------------


def test_what_a_device_file_may_say_comes_from_the_registries(tmp_path: Path) -> None:
    path = tmp_path / "pi.yaml"
    path.write_text("kind: toaster\ntransport: pigeon\naddress: loft\n")
    with pytest.raises(ConfigError) as caught:
        config.read_device(path)
    assert caught.value.mistakes == [
        f"{path}:1: kind: 'toaster' is not one of linux, jetson, android, macos",
        f"{path}:2: transport: 'pigeon' is not one of local, ssh, adb",
    ]


@pytest.fixture(scope="module")
def abroad(world: World) -> Iterator[Run]:
    """The same scenario with the made-up format, on this machine and on the made-up device."""
    loft = world.root / "devices/loft.yaml"
    loft.write_text(
        f"kind: toaster\ntransport: pigeon\naddress: {world.root}/loft\nsteady: [browning]\n"
        "emulated: true\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        registries: list[tuple[Any, str, Any]] = [
            (formats.REGISTRY, "clay", CLAY),
            (kinds.REGISTRY, "toaster", lambda: TOASTER),
            (runtimes.REGISTRY, "slot", lambda: SLOT),
            (transports.REGISTRY, "pigeon", lambda: Pigeon),
        ]
        for registry, name, thing in registries:
            patch.setitem(registry, name, thing)
        # the one file would be hashed
        patch.setattr("harness.steps.convert.format_sha256", lambda name: f"file of {name}")
        yield world.run("r2", "pytorch, clay", "devices: [local, loft]\n")
    loft.unlink()


def test_a_format_runs_on_a_device_of_a_new_kind_behind_a_new_transport(abroad: Run) -> None:
    made = {(r.cell.format, r.cell.device, r.cell.precision): r for r in abroad.results}
    there = made["clay", "loft", "fp32"]
    assert there.status == "ok"
    assert there.image
    assert (there.image.engine, there.image.digest) == ("slot", "sha256:slot")
    assert there.scores
    assert there.scores.values == {"count_error": 0.0, "count_worst": 0.0}
    here = made["clay", "local", "fp32"]
    assert here.image
    assert here.image.engine == "docker"
    assert here.artifact
    assert there.artifact
    assert here.artifact.path != there.artifact.path  # each has converted it for itself


def test_what_they_cannot_do_is_skipped_with_their_own_words(abroad: Run) -> None:
    reasons = {
        (s.cell.format, s.cell.device, s.cell.precision): s.reason for s in abroad.plan.skipped
    }
    assert reasons["clay", "loft", "int8"] == "a tablet has no int8"
    said = "PyTorch does not support toaster, only linux or android"
    assert reasons["pytorch", "loft", "fp32"] == said


def test_whatever_became_of_them_cells_of_an_emulated_device_are_marked(abroad: Run) -> None:
    marks = {(r.cell.device, r.status, r.emulated) for r in abroad.results}
    assert marks == {
        ("local", "ok", False), ("local", "skipped", False),
        ("loft", "ok", True), ("loft", "skipped", True),
    }  # fmt: skip


def test_the_device_and_the_format_are_on_the_pages(
    world: World, abroad: Run, tmp_path: Path
) -> None:
    index = build_run(abroad.folder, tmp_path / "report")
    assert "clay" in index.read_text()
    page = (tmp_path / "report/devices/loft.html").read_text()
    assert "toaster" in page
    assert "Crumb" in page
    rows = list(csv.DictReader(io.StringIO(export.as_csv(abroad).decode())))
    assert {(r["format"], r["device"]) for r in rows if r["p50_ms"]} == {
        ("pytorch", "local"), ("clay", "local"), ("clay", "loft"),
    }  # fmt: skip
