"""Passes over pictures are cached by what decides them; a profile leaves its layers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_jobs import IMAGE, MODEL, FakeEngine

from harness.containers import CompletedJob, JobSpec
from harness.errors import JobTimeout, StepFailed
from harness.records import Image, Layer, Placed, Placement
from harness.runner.job import Answer, Job, Pass, ProfileAnswer
from harness.serial import dumps, loads
from harness.steps.infer import LoadedArtifact, infer, infer_together, placement_of, read_outputs
from harness.steps.jobs import JobLimits, Place

PLACED = Placement("CPU", (Placed("CPU", 2, 1.0, 1.0),), (), False, "tool", 20, 3.0)
LAYERS = (Layer("a", "Conv", "CPU", 2.0, 2 / 3), Layer("b", "Add", "CPU", 1.0, 1 / 3, 2))
ANSWER = {"result.json": dumps(ProfileAnswer(1.0, "1.31", PLACED, 2))}


LIMITS = JobLimits((0,), 10**9, 5.0)


def loaded(tmp_path: Path, engine: Any, where: str = "", format: str = "onnx") -> LoadedArtifact:
    for name in ("model", "pack", "artifacts"):
        (tmp_path / name).mkdir(exist_ok=True)
    artifact = tmp_path / "artifacts" / "m.onnx"
    place = Place(engine, IMAGE, where)
    return LoadedArtifact(MODEL, tmp_path / "model", format, "fp32", artifact, "ab", place)


def profile(
    tmp_path: Path, leaves: Mapping[str, str], where: str = "", format: str = "onnx"
) -> tuple[Path, bool]:
    what = loaded(tmp_path, FakeEngine(leaves), where, format)
    return infer(tmp_path / "cache", "profile", what, tmp_path / "pack", 16, LIMITS)


class SeveralPasses(FakeEngine):
    """Leaves what the runner leaves for the passes that are asked for."""

    def __init__(self, exit_code: int = 0, error: Exception | None = None) -> None:
        super().__init__({}, exit_code, "ValueError: no")
        self.error, self.jobs = error, 0

    def run(self, image: Image, job: JobSpec) -> CompletedJob:
        self.jobs += 1
        if self.error:
            raise self.error
        out = next(m.host for m in job.mounts if m.writable)
        job.log.write_text("")
        packed = io.BytesIO()
        np.savez(packed, o=np.ones((2, 5), np.float32))
        (out / "outputs.npz").write_bytes(packed.getvalue())
        answer = dumps(Answer(1.0, "1.31", 2))
        self.leaves = {
            "outputs.json": answer,
            "profile.json": ANSWER["result.json"],
            "layers.json": dumps(LAYERS),
            "result.json": answer,
        }
        return super().run(image, job)


def together(tmp_path: Path, engine: SeveralPasses) -> LoadedArtifact:
    what, pack = loaded(tmp_path, engine), str(tmp_path / "pack")
    passes = (Pass("outputs", pack, 2), Pass("profile", pack, 16))
    infer_together(tmp_path / "cache", passes, what, LIMITS)
    return what


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
    with pytest.raises(StepFailed, match=r"the job did not write layers\.json"):
        profile(tmp_path, ANSWER)


def test_passes_that_one_process_makes_are_those_that_each_is_looked_for_as(tmp_path: Path) -> None:
    engine = SeveralPasses()
    what, cache, pack = together(tmp_path, engine), tmp_path / "cache", tmp_path / "pack"
    seen, cached = infer(cache, "outputs", what, pack, 2, LIMITS)
    assert cached
    assert [one["o"].shape for one in read_outputs(MODEL, 2, seen)] == [(5,), (5,)]
    layers, cached = infer(cache, "profile", what, pack, 16, LIMITS)
    assert cached
    assert placement_of(layers) == PLACED
    assert [p["mode"] for p in engine.asked["passes"]] == ["outputs", "profile"]
    assert {p["pack"] for p in engine.asked["passes"]} == {"/pack"}
    together(tmp_path, engine)
    assert engine.jobs == 1
    assert list((cache / "passes").iterdir()) == []


def test_of_a_process_that_failed_no_pass_is_kept_and_each_says_for_itself_what_is_wrong(
    tmp_path: Path,
) -> None:
    what = together(tmp_path, SeveralPasses(exit_code=1))
    with pytest.raises(StepFailed, match="exit code 1: ValueError: no"):
        infer(tmp_path / "cache", "outputs", what, tmp_path / "pack", 2, LIMITS)


def test_passes_past_their_deadline_are_not_made_again_one_by_one(tmp_path: Path) -> None:
    with pytest.raises(JobTimeout, match="too long"):
        together(tmp_path, SeveralPasses(error=JobTimeout("too long", "")))
