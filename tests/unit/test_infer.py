"""Passes over pictures are cached by what decides them; a profile leaves its layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_jobs import IMAGE, MODEL, FakeEngine

from harness.errors import StepFailed
from harness.records import Layer, Placed, Placement
from harness.runner.job import Job, ProfileAnswer
from harness.serial import dumps, loads
from harness.steps.infer import LoadedArtifact, infer, placement_of
from harness.steps.jobs import JobLimits, Place

PLACED = Placement("CPU", (Placed("CPU", 2, 1.0, 1.0),), (), False, "tool", 20, 3.0)
LAYERS = (Layer("a", "Conv", "CPU", 2.0, 2 / 3), Layer("b", "Add", "CPU", 1.0, 1 / 3, 2))
ANSWER = {"result.json": dumps(ProfileAnswer(1.0, "1.31", PLACED, 2))}


def profile(
    tmp_path: Path, leaves: Mapping[str, str], where: str = "", format: str = "onnx"
) -> tuple[Path, bool]:
    for name in ("model", "pack", "artifacts"):
        (tmp_path / name).mkdir(exist_ok=True)
    engine: Any = FakeEngine(leaves)
    artifact = tmp_path / "artifacts" / "m.onnx"
    place = Place(engine, IMAGE, where)
    loaded = LoadedArtifact(MODEL, tmp_path / "model", format, "fp32", artifact, "ab", place)
    limits = JobLimits((0,), 10**9, 5.0)
    return infer(tmp_path / "cache", "profile", loaded, tmp_path / "pack", 16, limits)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_a_profile_says_what_ran_where_and_leaves_its_layers(tmp_path: Path) -> None:
    layers, cached = profile(tmp_path, {**ANSWER, "layers.json": dumps(LAYERS)})
    assert not cached
    assert placement_of(layers) == PLACED
    assert layers.read_text() == dumps(LAYERS)
    job = loads(Job, (layers.parent / "job.json").read_bytes())
    assert (job.mode, job.threads) == ("profile", 1)


def test_the_same_pass_is_not_made_again_but_on_another_device_it_is(tmp_path: Path) -> None:
    leaves = {**ANSWER, "layers.json": dumps(LAYERS)}
    first, _ = profile(tmp_path, leaves)
    assert profile(tmp_path, {}) == (first, True)
    assert profile(tmp_path, leaves, where="pixel")[1] is False


@pytest.mark.parametrize(("format", "again"), [("pytorch", True), ("onnx", False)])
def test_a_change_of_the_model_s_code_is_seen_where_loading_runs_it(
    tmp_path: Path, format: str, again: bool
) -> None:
    leaves = {**ANSWER, "layers.json": dumps(LAYERS)}
    (tmp_path / "model").mkdir()
    blocks = tmp_path / "model" / "blocks.py"
    blocks.write_text("SCALE = 0.001\n")
    assert profile(tmp_path, leaves, format=format)[1] is False
    assert profile(tmp_path, {}, format=format)[1] is True
    blocks.write_text("SCALE = 0.5\n")
    assert profile(tmp_path, leaves, format=format)[1] is not again


def test_a_profile_without_layers_failed(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"the job left no layers\.json"):
        profile(tmp_path, ANSWER)
