"""A run from its plan to its results, with a container engine that makes things up."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from records_for_tests import STATE

from harness.cache import file_sha256
from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import BenchError, StepFailed
from harness.locks import Locked
from harness.records import Image, Placed, Placement
from harness.run import pipeline
from harness.run.background import Background
from harness.runner.job import Answer, Job, ProfileAnswer, TrialAnswer
from harness.scenario import config, plan
from harness.serial import dumps, loads
from harness.steps.jobs import pinned
from harness.store import Run, sole_writer, writer

SCENARIO = """\
name: s
models: [m]
formats: [pytorch, onnx, openvino]
precisions: [fp32, fp16]
matrix: {threads: [1, 2]}
measure: {profile: quick, trials: 2}
accuracy: {dataset: val}
"""


@dataclass
class FakeEngine:
    """Answers every job as a runner would; `broken`: what goes wrong, by mode and format."""

    name: str = "docker"
    confinement: str = "docker"
    broken: dict[tuple[str, str], BaseException] = field(default_factory=dict)
    jobs: list[tuple[str, str, str]] = field(default_factory=list)
    builds: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, name: str, log: Path, on_line: Any = None) -> Image:
        self.builds.append(name)
        if error := self.broken.get(("build", name)):
            raise error
        return Image(name, "docker", name, f"sha256:{name}", True, 0.0)

    def locate(self, mount: Mount) -> str:
        return str(mount.host)

    def close(self) -> None:
        pass

    def run(self, image: Image, spec: JobSpec, on_line: Any = None) -> CompletedJob:
        folder = next(mount.host for mount in spec.mounts if mount.writable)
        job = loads(Job, (folder / "job.json").read_bytes())
        with self.lock:
            self.jobs.append((job.mode, job.format, job.precision))
        if error := self.broken.get((job.mode, job.format)):
            raise error
        spec.log.write_text("fine\n")
        answer: object = Answer(0.1, "1.0")
        if job.mode == "convert":
            Path(job.artifact).write_text(f"{job.format} {job.precision}")
        elif job.mode == "outputs":
            shapes = {"boxes": (job.images, 1, 2, 4), "scores": (job.images, 1, 2, 1)}
            np.savez(
                folder / "outputs.npz", **{k: np.ones(v, np.float32) for k, v in shapes.items()}
            )
        elif job.mode == "predict":
            np.savez(folder / "predictions.npz", **predictions(job.images))
        elif job.mode == "profile":
            placed = Placement("CPU", (Placed("CPU", 1, 1.0),), (), False, "tool", 1)
            (folder / "layers.json").write_text("[]")
            answer = ProfileAnswer(0.1, "1.0", placed, 0)
        else:
            latency = np.full(80, 5_000_000, np.int64)
            np.savez(folder / "samples.npz", latency_ns=latency, start_ns=np.cumsum(latency))
            answer = TrialAnswer(
                load_ms=1, first_ms=1, import_ms=1, settled=True, stopped_by="interval",
                warmup_s=1, loop_s=1, stages_s=1, process_s=4, peak_rss_bytes=1, os_threads=3,
                affinity=pinned(job.threads), runtime_version="1", python_version="3.11.2",
                before=STATE, after=STATE,
            )  # fmt: skip
        (folder / "result.json").write_text(dumps(answer))
        return CompletedJob(0, "", 0.1)


def predictions(images: int) -> dict[str, np.ndarray]:
    return {
        "image_id": np.arange(images),
        "box": np.tile(np.array([(1, 1, 5, 5)], np.float32), (images, 1)),
        "score": np.full(images, 0.9, np.float32),
        "label": np.zeros(images, np.int32),
        "image_size": np.array([(n, 8, 8) for n in range(images)]),
    }


@pytest.fixture
def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("harness.run.trial.monitored", lambda how, measure: (measure(), ()))
    folder = tmp_path / "models/m"
    images = folder / "data/images"
    images.mkdir(parents=True)
    (folder / "w.pt").write_bytes(b"weights")
    (folder / "network.py").write_text("")
    listed, boxes = [], []
    for n in range(3):
        Picture.new("RGB", (8, 8)).save(images / f"{n}.png")
        listed.append({"id": n, "file_name": f"{n}.png", "height": 8, "width": 8})
        boxes.append({"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 4, 4]})
    content = {"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "card"}]}
    (folder / "data/annotations.json").write_text(json.dumps(content))
    data = folder / "data"
    files = {str(p.relative_to(data)): file_sha256(p) for p in data.rglob("*") if p.is_file()}
    (data / "manifest.json").write_text(json.dumps({"name": "val", "images": 3, "files": files}))
    (folder / "model.yaml").write_text(
        "task: detection\nmodule: network.py\nweights: w.pt\n"
        f"sha256: {file_sha256(folder / 'w.pt')}\n"
        "input: {name: i, shape: [1, 3, 8, 8]}\noutputs: [boxes, scores]\nclasses: [card]\n"
        "datasets: {val: data}\n"
    )
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices/local.yaml").write_text("kind: linux\ntransport: local\n")
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)

    def make(engine: FakeEngine, folder_name: str = "r1") -> pipeline.RunRequest:
        source = config.read_scenario(path)
        inventory = plan.read_inventory({"m": folder}, {"local": tmp_path / "devices/local.yaml"})
        container: Any = engine
        return pipeline.RunRequest(
            scenario=source,
            plan=plan.make_plan(source, inventory),
            models=inventory.models,
            devices=inventory.devices,
            engine=container,
            cache=tmp_path / "cache",
            folder=tmp_path / "runs" / folder_name,
            command="bench run s.yaml",
        )

    return make


def test_every_cell_has_a_number_and_nothing_is_made_twice(request_for: Any) -> None:
    engine = FakeEngine()
    events: list[str] = []
    run = pipeline.execute(request_for(engine), lambda event, **v: events.append(event))
    assert [r.reasons for r in run.results if r.status != "ok"] == []
    assert run.info.finished_at
    converted = [job for job in engine.jobs if job[0] == "convert"]
    assert len(converted) == len(set(converted)) == 6
    assert sum(job[0] == "trial" for job in engine.jobs) == 24
    for mode in ("outputs", "predict"):  # six artifacts and the reference, whatever the threads
        assert sum(job[0] == mode for job in engine.jobs) == 7
    assert all(r.scores and r.scores.values["map50_95"] == 1.0 for r in run.results)
    assert set(run.info.wall_s) >= {"images", "convert", "parity", "score", "measure", "other"}
    assert events.count("provisional") == 12
    ends = [events.index("task_end"), len(events) - 1 - events[::-1].index("task_end")]
    assert ends[1] < events.index("trial"), "nothing is made while this machine is measured"


def test_a_second_run_measures_only(request_for: Any) -> None:
    pipeline.execute(request_for(FakeEngine()))
    again = FakeEngine()
    pipeline.execute(request_for(again, "r2"))
    assert {mode for mode, *_ in again.jobs} == {"trial"}


@pytest.mark.parametrize(
    ("where", "step"),
    [
        (("build", "openvino"), "images"),
        (("convert", "openvino"), "convert"),
        (("outputs", "openvino"), "parity"),
        (("profile", "openvino"), "parity"),
        (("predict", "openvino"), "score"),
        (("trial", "openvino"), "measure"),
    ],
)
@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (StepFailed("no such operator"), "error", "no such operator"),
        (KeyError("conv"), "bug", "bug: KeyError: 'conv'"),
    ],
)
def test_whatever_happens_to_a_format_costs_its_cells_alone(
    request_for: Any, where: tuple[str, str], step: str, error: Exception, kind: str, reason: str
) -> None:
    run = pipeline.execute(request_for(FakeEngine(broken={where: error})))
    by_format: dict[str, list[Any]] = {}
    for result in run.results:
        by_format.setdefault(result.cell.format, []).append(result)
    assert {r.status for r in by_format["onnx"] + by_format["pytorch"]} == {"ok"}
    for result in by_format["openvino"]:
        assert result.status == "failed"
        assert (result.failure.step, result.failure.kind) == (step, kind)
        assert result.failure.reason == reason
        bug = run.folder / f"cells/{result.cell.id}/bug.txt"
        assert bug.exists() is (kind == "bug")


def test_a_reference_that_fails_costs_no_traceback(request_for: Any) -> None:
    error = StepFailed("weights are gone")
    run = pipeline.execute(request_for(FakeEngine(broken={("outputs", "pytorch"): error})))
    assert {r.status for r in run.results} == {"failed"}
    assert {r.failure.step for r in run.results if r.failure} == {"parity"}


@pytest.mark.parametrize("event", ["task", "step", "trial_end", "provisional", "cell"])
def test_who_watches_costs_no_cell_its_result(request_for: Any, event: str) -> None:
    def watch(name: str, **values: object) -> None:
        if name == event:
            raise KeyError("no such column")

    run = pipeline.execute(request_for(FakeEngine()), watch)
    assert {r.status for r in run.results} == {"ok"}
    assert (
        f"KeyError in the event handler of {event}"
        in (run.folder / "logs/bug-watching.txt").read_text()
    )


def test_a_run_goes_on_when_nobody_reads_its_events(request_for: Any) -> None:
    told: list[str] = []

    def watch(name: str, **values: object) -> None:
        told.append(name)
        raise BrokenPipeError

    run = pipeline.execute(request_for(FakeEngine()), watch)
    assert {r.status for r in run.results} == {"ok"}
    assert len(told) <= 3  # one of the main thread and of each that was telling just then
    assert not (run.folder / "logs/bug-watching.txt").exists()


def test_a_resumed_run_goes_on(request_for: Any) -> None:
    request = request_for(FakeEngine())
    done = pipeline.execute(request)
    lines = (done.folder / "results.jsonl").read_text().splitlines()
    (done.folder / "results.jsonl").write_text("\n".join(lines[:5]) + "\n")
    again = FakeEngine()
    run: Run = pipeline.execute(replace(request, engine=again))  # type: ignore[arg-type]
    assert len(run.results) == 12
    assert [job for job in again.jobs if job[0] == "trial"] == []


LEFT = ["cells", "devices", "logs", "events.jsonl", "cells/x/bug.txt"]


@pytest.mark.parametrize("name", LEFT)
def test_an_interrupted_run_whose_files_lead_elsewhere_is_not_gone_on_with(
    request_for: Any, tmp_path: Path, name: str
) -> None:
    """It may have come from elsewhere, and is written to."""
    request = request_for(FakeEngine())
    pipeline.execute(request)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = request.folder / name
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.rename(tmp_path / "old")
    path.symlink_to(elsewhere if "." not in name else elsewhere / "file")
    with pytest.raises(BenchError) as caught:
        pipeline.execute(request_for(FakeEngine()))
    what = f"{path}: is a symbolic link; only regular files are taken over"
    assert (caught.value.message, caught.value.hint) == (
        what, "Remove it, then continue with --resume.",
    )  # fmt: skip
    assert list(elsewhere.iterdir()) == []


def test_what_a_job_left_that_was_killed_with_bench_keeps_nobody_from_going_on(
    request_for: Any,
) -> None:
    request = request_for(FakeEngine())
    run = pipeline.execute(request)
    out = run.folder / run.results[0].trials[0].folder / "out"
    out.mkdir()
    (out / "link").symlink_to("/")
    assert {r.status for r in pipeline.execute(request_for(FakeEngine())).results} == {"ok"}


def test_work_in_the_background_waits_for_what_it_needs() -> None:
    pool = Background("test", 2)
    order: list[str] = []

    def slow() -> str:
        time.sleep(0.05)
        order.append("first")
        return "a"

    first = pool.submit(slow)
    second = pool.submit(lambda: order.append("second") or first.result(), [first])
    broken = pool.submit(lambda: 1 / 0, [first, second])
    after = pool.submit(lambda: "still", [broken])
    assert second.result(5) == "a"
    assert after.result(5) == "still"
    assert isinstance(broken.exception(5), ZeroDivisionError)
    assert order == ["first", "second"]


def test_a_run_that_another_process_writes_is_refused_with_who_that_is(request_for: Any) -> None:
    closed: list[bool] = []
    engine = FakeEngine()
    engine.close = lambda: closed.append(True)  # type: ignore[method-assign]
    request = request_for(engine)
    with sole_writer(request.folder):
        holder = writer(request.folder)
        assert holder
        with pytest.raises(Locked) as raised:
            pipeline.execute(request)
    assert raised.value.message == f"run r1 is in use by {holder.text}"
    assert (engine.jobs, closed) == ([], [True])
    assert not (request.folder / "run.json").exists()
    assert {r.status for r in pipeline.execute(request).results} == {"ok"}
    assert writer(request.folder) is None


def test_runs_of_the_same_second_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "new_run_id", lambda name: f"20261122T104300-{name}")
    names = []
    for _ in range(3):
        folder = pipeline.new_folder(tmp_path, "rio")
        folder.mkdir()
        names.append(folder.name)
    assert names == ["20261122T104300-rio", "20261122T104300-rio-2", "20261122T104300-rio-3"]


def test_what_confines_models_is_told_of_the_run(request_for: Any) -> None:
    run = pipeline.execute(request_for(FakeEngine(confinement="bubblewrap")))
    assert run.info.confinement == "bubblewrap"
