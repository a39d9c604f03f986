"""What goes wrong costs one cell, says why, and loses nothing that was measured."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Project, containers, wait_for

from harness.store import read_run

pytestmark = [pytest.mark.docker, pytest.mark.slow]

Tiny = Callable[..., str]


def run(project: Project, path: str) -> tuple[int, dict[str, object], str]:
    done = project.bench("run", path, "--engine", "docker", "--no-report")
    assert "Traceback" not in done.stderr
    return done.returncode, project.rows()[0], done.stderr


def test_a_small_model_of_a_user_s_own_runs(project: Project, tiny: Tiny) -> None:
    code, row, err = run(project, tiny())
    assert (code, row["status"]) == (0, "ok"), err


def test_a_format_that_another_one_converts_needs_nothing_of_it(
    project: Project, tiny: Tiny
) -> None:
    code, row, err = run(project, tiny(formats="[tflite-runtime]"))
    assert (code, row["status"]) == (0, "ok"), err


def test_a_model_that_cannot_be_built_says_its_own_words(project: Project, tiny: Tiny) -> None:
    code, row, _ = run(project, tiny(first="raise RuntimeError('no such backbone')"))
    assert (code, row["status"], row["step"]) == (1, "failed", "convert")
    assert row["reason"] == "exit code 1: RuntimeError: no such backbone"
    log = str(row["hint"]).removeprefix("See the log ").removesuffix(".")
    assert "no such backbone" in Path(log).read_text()


def test_a_file_that_is_no_model_is_named(project: Project, tiny: Tiny) -> None:
    code, row, _ = run(project, tiny(weights=b"these are no weights"))
    assert (code, row["step"]) == (1, "convert")
    said = "weights.pt is damaged, or not a PyTorch checkpoint"
    assert str(row["reason"]).startswith(f"exit code 1: ValueError: {said}")


def test_a_wrong_sha256_stops_before_anything_is_loaded(project: Project, tiny: Tiny) -> None:
    code, row, _ = run(project, tiny(sha="0" * 64))
    assert (code, row["step"]) == (1, "convert")
    assert "expected 0000" in str(row["reason"])


def test_a_converter_that_hangs_is_ended(project: Project, tiny: Tiny) -> None:
    path = tiny(first="import time; time.sleep(600)", measure="{trials: 1, timeout_s: 8}")
    code, row, _ = run(project, path)
    assert (code, row["step"]) == (1, "convert")
    assert "deadline of 8 s" in str(row["reason"])
    assert containers(project) == []


def test_the_memory_limit_is_named(project: Project, tiny: Tiny) -> None:
    path = tiny(first="x = bytearray(3 * 10**9)", measure="{trials: 1, memory_mb: 1000}")
    code, row, _ = run(project, path)
    assert (code, row["step"]) == (1, "convert")
    assert "memory limit of 1000 MB" in str(row["reason"])


def test_a_damaged_dataset_is_named_with_its_file(
    project: Project, tiny: Tiny, tmp_path: Path
) -> None:
    data = tmp_path / "val"
    shutil.copytree(ROOT / "models/rio/data/val", data)
    first = sorted((data / "images").iterdir())[0]
    first.write_bytes(first.read_bytes()[:1000])
    code, row, _ = run(project, tiny(data=data))
    assert (code, row["step"]) == (1, "parity")
    assert first.name in str(row["reason"])


def test_one_broken_format_does_not_stop_the_others(project: Project, tiny: Tiny) -> None:
    # TorchScript cannot trace what eager PyTorch runs: a forward that returns no tensors
    path = tiny(formats="[torchscript, pytorch]")
    network = project.folder / "models/tiny/network.py"
    text = network.read_text().replace(
        "        raw = self.conv",
        "        assert not torch.jit.is_tracing(), 'cannot be traced'\n        raw = self.conv",
    )
    network.write_text(text)
    done = project.bench("run", path, "--engine", "docker", "--no-report")
    assert done.returncode == 1
    rows = {row["format"]: row for row in project.rows()}
    assert rows["pytorch"]["status"] == "ok"
    assert "cannot be traced" in rows["torchscript"]["reason"]


def test_ctrl_c_ends_cleanly_and_resume_goes_on(project: Project, tiny: Tiny) -> None:
    path = tiny(measure="{trials: 4}")
    process = project.start("run", path, "--engine", "docker", "--no-report")
    wait_for(lambda: any(project.folder.glob("runs/*/cells/*/trial-0/trial.json")))
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err
    assert containers(project) == []

    folder = project.runs()[0]
    kept = sorted(folder.glob("cells/*/trial-*/samples.npz"))
    before = {p: p.stat().st_mtime_ns for p in kept if (p.parent / "trial.json").exists()}
    assert before
    done = project.bench("run", path, "--engine", "docker", "--no-report", "--resume")
    assert done.returncode == 0, done.stderr
    assert project.runs() == [folder]
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len(read_run(folder).results[0].trials) == 4


def test_kill_9_loses_at_most_the_trial_in_hand(project: Project, tiny: Tiny) -> None:
    path = tiny(measure="{trials: 3}")
    process = project.start("run", path, "--engine", "docker", "--no-report")
    wait_for(lambda: any(project.folder.glob("runs/*/cells/*/trial-0/trial.json")))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    done = project.bench("run", path, "--engine", "docker", "--no-report", "--resume")
    assert done.returncode == 0, done.stderr
    assert len(project.runs()) == 1
    trials = read_run(project.runs()[0]).results[0].trials
    assert [t.index for t in trials] == [0, 1, 2]
    assert containers(project) == []


def test_a_broken_gate_fails_the_exit_code(project: Project, tiny: Tiny) -> None:
    path = tiny()
    scenario = project.folder / path
    scenario.write_text(scenario.read_text() + "gates: {p50_ms: 0.000001}\n")
    done = project.bench("run", path, "--engine", "docker", "--no-report")
    assert done.returncode == 1
    assert "gate failed" in done.stdout
    assert project.rows()[0]["status"] == "ok"


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "file").write_text("")
    project = Project(tmp_path, tmp_path / "file")
    rio = str(ROOT / "scenarios/rio.yaml")
    done = project.bench(
        "run", rio, "--project", ".", "--engine", "docker", "--only", "*pytorch-fp32*"
    )
    assert done.returncode == 1
    assert "BENCH_CACHE" in done.stderr
    assert "Traceback" not in done.stderr
