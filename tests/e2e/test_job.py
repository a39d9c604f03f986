"""The main job in real containers: what a newcomer gets, and what the second run may cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project, containers

from harness.store import Run, read_run

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(2400)]

SCENARIO = """\
models: [rio]
formats: [pytorch, torchscript, onnx, openvino, tflite, tflite-runtime, tensorrt]
precisions: [fp32, fp16, int8]
matrix: {threads: [2]}
measure: {profile: smoke}
accuracy: {dataset: rio-val, images: 64}
"""


@dataclasses.dataclass(frozen=True)
class Twice:
    """The same scenario run twice in one project."""

    project: Project
    first: Run
    second: Run
    rows: list[dict[str, Any]]
    output: str


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Twice:
    folder = tmp_path_factory.mktemp("job")
    (folder / "scenarios").mkdir()
    project = Project(folder, cache)
    path = project.scenario("job", SCENARIO)
    first = project.bench("run", path, "--engine", "docker")
    assert first.returncode in (0, 1), first.stderr
    second = project.bench("run", path, "--engine", "docker", "--no-report")
    assert second.returncode == first.returncode, second.stderr
    a, b = (read_run(run) for run in project.runs())
    return Twice(project, a, b, project.rows(), first.stdout + first.stderr)


def test_every_cell_has_a_number_or_a_reason(twice: Twice) -> None:
    assert len(twice.rows) == 21
    for row in twice.rows:
        if row["status"] == "ok":
            assert row["p50_low_ms"] <= row["p50_ms"] <= row["p50_high_ms"]
            assert row["n"] >= 8
        else:
            assert row["p50_ms"] is None
            assert row["reason"]


def test_no_format_fails_at_fp32_and_fp16(twice: Twice) -> None:
    failed = [r for r in twice.rows if r["status"] == "failed" and r["precision"] != "int8"]
    assert failed == []


def test_a_converted_model_is_still_the_model(twice: Twice) -> None:
    by_cell = {(r["format"], r["precision"]): r for r in twice.rows if r["status"] == "ok"}
    reference = by_cell["pytorch", "fp32"]
    assert 0.7 < reference["map50_95"] < 0.93
    assert reference["mask_map50_95"] > 0.5
    for (_, precision), row in by_cell.items():
        assert row["parity_ok"] is True
        allowed = {"fp32": 0.001, "fp16": 0.01, "int8": 0.02}[precision]
        assert row["map50_95"] >= reference["map50_95"] * (1 - allowed)
    assert by_cell["onnx", "fp16"]["size_bytes"] < 0.6 * by_cell["onnx", "fp32"]["size_bytes"]
    assert by_cell["tflite", "int8"]["size_bytes"] < 0.45 * by_cell["tflite", "fp32"]["size_bytes"]


def test_every_result_says_what_made_it(twice: Twice) -> None:
    for row in twice.rows:
        if row["status"] == "ok":
            assert row["engine"] == "docker"
            assert row["image_digest"].startswith("sha256:")
            assert len(row["artifact_sha256"]) == 64
            assert row["runtime_version"] not in (None, "unknown")


def test_trials_are_fresh_processes_on_their_own_cpus(twice: Twice) -> None:
    for result in twice.first.results:
        for trial in result.trials:
            assert len(trial.affinity) == result.cell.threads
            assert trial.import_ms > 0
        assert len(result.trials) in (0, 1)


def test_the_second_run_builds_and_converts_nothing(twice: Twice) -> None:
    for result in twice.second.results:
        assert result.image is None or result.image.cached
        assert result.artifact is None or result.artifact.cached
    spent = twice.second.info.wall_s
    assert spent["images"] + spent["convert"] < 5
    digests = [
        {r.artifact.sha256 for r in run.results if r.artifact}
        for run in (twice.first, twice.second)
    ]
    assert digests[0] == digests[1]


def test_the_wall_time_is_accounted_for(twice: Twice) -> None:
    for run in (twice.first, twice.second):
        assert set(run.info.wall_s) >= {"images", "convert", "parity", "score", "measure", "other"}
        assert run.info.wall_s["other"] < 0.2 * sum(run.info.wall_s.values())


def test_the_report_has_a_page_a_cell(twice: Twice) -> None:
    report = twice.project.folder / "reports" / twice.first.info.run_id
    assert (report / "index.html").is_file()
    for result in twice.first.results:
        assert (report / "cells" / f"{result.cell.id}.html").is_file()


def test_nothing_is_left_running(twice: Twice) -> None:
    assert containers(twice.project) == []


def test_the_shipped_scenario_plans_what_the_docs_say() -> None:
    text = (ROOT / "scenarios/rio.yaml").read_text()
    for word in ("pytorch", "torchscript", "onnx", "openvino", "tflite", "fp32", "fp16", "int8"):
        assert word in text


def test_the_same_job_runs_in_environments_without_a_daemon(project: Project) -> None:
    path = project.scenario(
        "envs",
        "models: [rio]\nformats: [pytorch, onnx]\nmeasure: {trials: 1}\n"
        "accuracy: {dataset: rio-val, images: 32}\n",
    )
    done = project.bench("run", path, "--engine", "venv", "--no-report")
    assert done.returncode == 0, done.stderr
    rows = project.rows()
    assert [row["engine"] for row in rows] == ["venv", "venv"]
    assert all(row["status"] == "ok" for row in rows)
    assert all(row["image_digest"].startswith("sha256:") for row in rows)


def test_convert_writes_the_model_where_it_is_asked_to(project: Project) -> None:
    done = project.bench("convert", "rio", "-f", "onnx", "-o", "out/rio.onnx")
    assert done.returncode == 0, done.stderr
    assert (project.folder / "out/rio.onnx").stat().st_size > 10**6
    assert "sha256" in done.stdout
