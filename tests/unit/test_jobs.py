"""A job's paths are translated to what it sees, and its last words to a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import formats
from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import StepFailed
from harness.records import Image, ModelSpec, TensorSpec
from harness.runner.job import PROFILES, VERSION, Answer, Job
from harness.steps import jobs
from harness.steps.jobs import JobLimits, Output, Place, last_words, run_job, written
from harness.untrusted import files
from harness.untrusted.budget import Budget, Leaf

MODEL = ModelSpec(
    "m", "detection", "n.py", "b", "w.pt", "0", (TensorSpec("i", (1, 3, 8, 8)),), ("o",), ("c",)
)
IMAGE = Image("onnx", "docker", "bench/onnx:1", "sha256:aa", True, 0.0)
LIMITS = JobLimits((0,), 10**9, 5.0)


class FakeEngine:
    """Runs nothing: writes what it is told into the job's folder."""

    name = "docker"

    def __init__(self, leaves: Mapping[str, str], exit_code: int = 0, output: str = "") -> None:
        self.leaves, self.exit_code, self.output = leaves, exit_code, output
        self.spec: JobSpec | None = None

    def locate(self, mount: Mount) -> str:
        return mount.target

    def run(self, image: Image, job: JobSpec) -> CompletedJob:
        self.spec = job
        writable = next(m.host for m in job.mounts if m.writable)
        self.asked = json.loads((writable / "job.json").read_text())
        for name, text in self.leaves.items():
            (writable / name).write_text(text)
        return CompletedJob(self.exit_code, self.output, 0.1)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    found = {name: tmp_path / name for name in ("job", "model", "pack", "artifacts")}
    for folder in found.values():
        folder.mkdir()
    return found


def job(folders: dict[str, Path], artifact: Path, format: str) -> Job:
    source, pack = str(folders["model"]), str(folders["pack"])
    return Job(VERSION, "outputs", format, "fp32", 1, MODEL, source, str(artifact), pack, 2)


def run(
    engine: Any,
    folders: dict[str, Path],
    artifact: Path,
    keep: tuple[str, ...] = (),
    format: str = "onnx",
) -> Answer:
    asked = job(folders, artifact, format)
    outputs = [Output(Leaf(name, Budget(100)), files.check) for name in keep]
    return run_job(Place(engine, IMAGE), folders["job"], asked, LIMITS, Answer, outputs)


GOOD = {"result.json": '{"seconds": 1.5, "runtime_version": "1", "images": 2}'}


def test_a_job_sees_its_paths_inside(folders: dict[str, Path]) -> None:
    engine = FakeEngine(GOOD)
    assert run(engine, folders, folders["artifacts"] / "model.onnx").seconds == 1.5
    seen = json.loads((folders["job"] / "job.json").read_text())
    assert engine.asked == seen
    assert (seen["source"], seen["artifact"], seen["pack"]) == (
        "",
        "/artifact/model.onnx",
        "/pack",
    )
    assert engine.spec is not None
    assert [m.target for m in engine.spec.mounts if m.writable] == ["/job"]
    assert engine.spec.env["OMP_NUM_THREADS"] == "1"
    assert engine.spec.env["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("mode", "profile", "policy"),
    [("predict", None, "PASSIVE"), ("trial", "quick", None), ("trial", "smoke", "PASSIVE")],
)
def test_only_what_is_not_timed_waits_without_spinning(
    folders: dict[str, Path], mode: Any, profile: str | None, policy: str | None
) -> None:
    engine, rules = FakeEngine(GOOD), PROFILES[profile] if profile else None
    plain = job(folders, folders["artifacts"] / "model.onnx", "onnx")
    made = replace(plain, mode=mode, measure=rules)
    run_job(Place(engine, IMAGE), folders["job"], made, LIMITS, Answer)
    assert engine.spec is not None
    assert engine.spec.env.get("OMP_WAIT_POLICY") == policy


def test_only_a_format_that_runs_the_model_s_code_sees_it(folders: dict[str, Path]) -> None:
    run(FakeEngine(GOOD), folders, folders["model"] / "w.pt", format="pytorch")
    seen = json.loads((folders["job"] / "job.json").read_text())
    assert (seen["source"], seen["artifact"]) == ("/model", "/model/w.pt")


@pytest.mark.parametrize(
    ("engine", "keep", "message"),
    [
        (FakeEngine({}), (), "the job did not write result.json"),
        (FakeEngine(GOOD), ("samples.npz",), "the job did not write samples.npz"),
        (FakeEngine({"result.json": "{"}), (), "outputs job: result.json: not JSON"),
        (FakeEngine({"result.json": "{}"}), (), "outputs job: result.json.seconds: missing"),
        (FakeEngine(GOOD, 1, "ValueError: x\n"), (), "exit code 1: ValueError: x"),
    ],
)
def test_a_job_that_did_not_finish_is_a_failed_step(
    folders: dict[str, Path], engine: FakeEngine, keep: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StepFailed) as raised:
        run(engine, folders, folders["artifacts"] / "m", keep)
    assert raised.value.message.startswith(message)


def test_a_job_writes_into_a_folder_of_its_own_of_which_only_what_is_wanted_is_left(
    folders: dict[str, Path],
) -> None:
    engine = FakeEngine({**GOOD, "events.jsonl": "{}", "model": "m", "log.txt": "not the job's"})
    run(engine, folders, folders["artifacts"] / "m", ("model",))
    assert engine.spec is not None
    (writable,) = (mount.host for mount in engine.spec.mounts if mount.writable)
    assert writable == folders["job"] / "out"
    assert engine.spec.log == folders["job"] / "log.txt"
    left = sorted(path.name for path in folders["job"].iterdir())
    assert left == ["events.jsonl", "job.json", "model", "result.json"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "exit code 3: no output"),
        ("a\nb\n", "exit code 3: b"),
        ("Traceback\na.b.LoadError: bad node\nbye\n", "exit code 3: a.b.LoadError: bad node"),
        ("Note: this is fine\nlast\n", "exit code 3: last"),
    ],
)  # fmt: skip
def test_the_last_words_are_the_exception(output: str, words: str) -> None:
    assert last_words(output, 3) == words


def test_the_measured_job_gets_the_last_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "machine_cpus", lambda: (0, 1, 2, 3))
    assert jobs.pinned(1) == (3,)
    assert jobs.pinned(2) == (2, 3)
    assert jobs.pinned(9) == (0, 1, 2, 3)


def test_a_format_with_a_runner_of_its_own_is_run_by_it_and_converted_by_ours(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(formats.REGISTRY["onnx"].SPEC, runner="native.runner")
    monkeypatch.setattr(formats.REGISTRY["onnx"], "SPEC", spec)
    for mode, module in (("trial", "native.runner"), ("convert", "harness.runner")):
        engine = FakeEngine(GOOD)
        folder = folders["job"] / mode
        folder.mkdir()
        made = replace(job(folders, written(folder, "model.onnx"), "onnx"), mode=mode)
        run_job(Place(engine, IMAGE), folder, made, LIMITS, Answer)
        assert engine.spec is not None
        assert engine.spec.argv == ("-m", module, "/job")
