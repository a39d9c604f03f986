"""One cell again from its folder: what is needed, what is refused, what the answer is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from records_for_tests import OK, STATE
from test_compare import measured

from harness import kinds
from harness.analysis.differences import Difference
from harness.cache import file_sha256
from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import BenchError, UsageError
from harness.kinds import Kind
from harness.records import (
    Artifact,
    DeviceFacts,
    DeviceSpec,
    Image,
    Placement,
    Plan,
    RunInfo,
)
from harness.run.replay import find_artifact, read_original, replay
from harness.runner.job import PROFILES, SMOKE_REASON, VERSION, Job, TrialAnswer
from harness.scenario.config import read_model
from harness.scenario.model import Model
from harness.serial import dumps
from harness.steps.jobs import Place, machine_cpus, pinned
from harness.store import RunFolder, read_run
from harness.targets.target import LocalTarget, images_here
from harness.transports import Transport
from harness.transports.local import LocalTransport

LOCAL = DeviceSpec("local", "linux", "local")
SCENARIO = "name: rio\nmodels: [rio]\nformats: [onnx]\n"


class FakeEngine:
    """A trial that takes as long as it is told."""

    name = "docker"

    def __init__(self, ms: float) -> None:
        self.ms, self.rng = ms, np.random.default_rng(4)

    def build(self, name: str, log: Path, on_line: object = None) -> Image:
        return Image(name, "docker", f"bench/{name}:1", "sha256:aa", True, 0.0)

    def locate(self, mount: Mount) -> str:
        return mount.target

    def samples(self) -> dict[str, np.ndarray]:
        """What a trial leaves."""
        factor = np.exp(0.003 * self.rng.standard_normal() + 0.01 * self.rng.standard_normal(200))
        latency_ns = (self.ms * 1e6 * factor).astype(np.int64)
        return {"latency_ns": latency_ns, "start_ns": np.cumsum(latency_ns)}

    def run(self, image: Image, job: JobSpec) -> CompletedJob:
        folder = next(m.host for m in job.mounts if m.writable)
        np.savez(folder / "samples.npz", **self.samples())  # type: ignore[arg-type]
        answer = TrialAnswer(
            load_ms=1, first_ms=1, import_ms=1, settled=True, stopped_by="interval", warmup_s=1,
            loop_s=1, stages_s=1, process_s=4, peak_rss_bytes=1, os_threads=3,
            affinity=pinned(1), runtime_version="1.31.1", python_version="3.11.2",
            before=STATE, after=STATE,
        )  # fmt: skip
        (folder / "result.json").write_text(dumps(answer))
        return CompletedJob(0, "", 0.1)


def here(ms: float, tmp_path: Path) -> LocalTarget:
    engine: Any = FakeEngine(ms)
    return LocalTarget(LOCAL, images_here(engine, tmp_path))


def leaving(arrays: dict[str, np.ndarray], tmp_path: Path) -> LocalTarget:
    """A place whose trials leave these arrays."""
    engine = FakeEngine(1.0)
    engine.samples = lambda: arrays  # type: ignore[method-assign]
    fake: Any = engine
    return LocalTarget(LOCAL, images_here(fake, tmp_path))


class Elsewhere:
    """A phone that is twice as slow, behind the same protocol."""

    spec = DeviceSpec("phone", "android", "adb", emulated=True, memory_mb=512)

    def __init__(self, folder: Path) -> None:
        self.engine, self.held = FakeEngine(20.0), 0
        self.workdir = str(folder)
        self.transport: Transport = LocalTransport("phone")
        self.kind: Kind = kinds.find("linux")
        self.facts, self.restored = DeviceFacts("android", "aarch64", "Android 14"), ()

    def all_cpus(self) -> tuple[int, ...]:
        return machine_cpus()

    def place(self, image: str) -> Place:
        there = Image(image, "bundle", f"{image}.tar", "sha256:bb", True, 0.0)
        return Place(self.engine, there, "phone")  # type: ignore[arg-type]

    def cpus(self, threads: int) -> tuple[int, ...]:
        return pinned(threads)

    def claim(self, on_wait: object) -> None:
        pass

    def why_unsure(self, since: float) -> str | None:
        return None

    @contextmanager
    def steady(self) -> Iterator[tuple[str, ...]]:
        self.held += 1
        yield ()


@pytest.fixture
def model(tmp_path: Path) -> Model:
    folder = tmp_path / "models/rio"
    pictures = folder / "data/images"
    pictures.mkdir(parents=True)
    (folder / "w.pt").write_bytes(b"weights")
    (folder / "network.py").write_text("")
    for i in range(3):
        Picture.new("RGB", (8, 8), (i, i, i)).save(pictures / f"{i}.jpg")
    listed = [{"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 8} for i in range(3)]
    truth = {"images": listed, "annotations": [], "categories": [{"id": 1, "name": "card"}]}
    (folder / "data/annotations.json").write_text(json.dumps(truth))
    files = {
        str(p.relative_to(folder / "data")): file_sha256(p)
        for p in sorted((folder / "data").rglob("*"))
        if p.is_file()
    }
    manifest = {"name": "val", "images": 3, "files": files}
    (folder / "data/manifest.json").write_text(json.dumps(manifest))
    (folder / "model.yaml").write_text(
        "task: detection\nmodule: network.py\nweights: w.pt\n"
        f"sha256: {file_sha256(folder / 'w.pt')}\ninput: {{name: i, shape: [1, 3, 8, 8]}}\n"
        "outputs: [o]\nclasses: [card]\ndatasets: {val: data}\n"
    )
    return read_model(folder)


@pytest.fixture
def cell(tmp_path: Path, model: Model) -> Path:
    """The folder of a measured cell whose artifact is in the cache."""
    artifact = tmp_path / "cache/artifacts/kk/model.onnx"
    artifact.parent.mkdir(parents=True)
    artifact.write_bytes(b"model")
    run = tmp_path / "runs/old"
    made = measured(tmp_path / "made", OK, 10.0, seed=2, trials=3)
    info = RunInfo("old", "rio", "quick", "s", "0.1.0", "00", "abc", "docker", "pp", "c")
    store = RunFolder.create(run, info, Plan((OK,), ()), SCENARIO)
    (tmp_path / "made/cells").rename(run / "cells")
    known = Artifact(str(artifact), file_sha256(artifact), 5, "kk", 1.0, False, "log")
    store.add(replace(made, artifact=known))
    rules = PROFILES["quick"]
    job = Job(
        VERSION, "trial", "onnx", "fp32", 1, model.spec, "/model", "/a", "/p", 16, measure=rules
    )
    for trial in made.trials:
        (run / trial.folder / "job.json").write_text(dumps(job))
    return run / "cells" / OK.id


@pytest.mark.parametrize(("ms", "outcome"), [(10.0, "same"), (11.0, "slower")])
def test_a_cell_is_measured_again_and_compared(
    cell: Path, model: Model, tmp_path: Path, ms: float, outcome: str
) -> None:
    done = replay(
        read_original(cell), {"rio": model}, here(ms, tmp_path),
        tmp_path / "cache", tmp_path / "runs", trials=5,
    )  # fmt: skip
    assert done.pair.comparison
    assert done.pair.comparison.outcome == outcome
    run = read_run(done.folder)
    assert run.info.notes[0].startswith(f"repeats {OK.id} of old")
    assert run.info.finished_at is not None
    assert len(run.results[0].trials) == 5
    assert run.results[0].parity is not None


def test_what_makes_the_original_invalid_makes_its_repetition_invalid(
    cell: Path, model: Model, tmp_path: Path
) -> None:
    found = read_original(cell)
    elsewhere = Placement("CUDAExecutionProvider", (), (), True, "ORT profile", 16)
    found = replace(found, result=replace(found.result, placement=elsewhere, verdict="invalid"))
    done = replay(
        found, {"rio": model}, here(10.0, tmp_path), tmp_path / "cache", tmp_path / "runs"
    )
    result = read_run(done.folder).results[0]
    assert (result.verdict, result.placement) == ("invalid", elsewhere)
    assert result.reasons[0].startswith("CUDAExecutionProvider ran no nodes")


def test_a_repetition_of_profile_smoke_is_no_number_either(
    cell: Path, model: Model, tmp_path: Path
) -> None:
    found = read_original(cell)
    found = replace(found, run=replace(found.run, info=replace(found.run.info, profile="smoke")))
    done = replay(
        found, {"rio": model}, here(10.0, tmp_path), tmp_path / "cache", tmp_path / "runs"
    )
    result = read_run(done.folder).results[0]
    assert (result.verdict, SMOKE_REASON in result.reasons) == ("suspect", True)


def test_a_cell_is_measured_again_on_another_device(
    cell: Path, model: Model, tmp_path: Path
) -> None:
    phone = Elsewhere(tmp_path)
    done = replay(read_original(cell), {"rio": model}, phone, tmp_path / "cache", tmp_path / "runs")
    assert phone.held == 3
    result = read_run(done.folder).results[0]
    assert result.cell == replace(OK, device="phone")
    assert (result.emulated, result.parity, result.scores) == (True, None, None)
    assert result.image
    assert result.image.engine == "bundle"
    assert done.pair.comparison
    assert done.pair.comparison.outcome == "slower"
    assert Difference("device", "local", "phone") in done.pair.differences
    info = read_run(done.folder).info
    assert info.engine == "docker"
    assert info.command.endswith(f"cells/{OK.id} --device phone")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"latency_ns": np.array([], int), "start_ns": np.array([], int)}, "no samples"),
        ({"start_ns": np.arange(5)}, "unreadable: missing arrays: latency_ns"),
        (
            {"latency_ns": np.array([1.5, 2.5]), "start_ns": np.arange(2)},
            "unreadable: latency_ns has values of type float64",
        ),
    ],
)
def test_a_trial_without_samples_ends_the_replay_with_its_file(
    cell: Path, model: Model, tmp_path: Path, arrays: dict[str, np.ndarray], reason: str
) -> None:
    target = leaving(arrays, tmp_path)
    with pytest.raises(BenchError, match=f"trial-0/samples.npz: {reason}"):
        replay(read_original(cell), {"rio": model}, target, tmp_path / "cache", tmp_path / "runs")


def test_a_clock_that_goes_backwards_makes_the_repeated_number_invalid(
    cell: Path, model: Model, tmp_path: Path
) -> None:
    target = leaving(
        {"latency_ns": np.array([9, -9, 9]), "start_ns": np.array([9, 18, 9])}, tmp_path
    )
    done = replay(
        read_original(cell), {"rio": model}, target, tmp_path / "cache", tmp_path / "runs"
    )
    result = read_run(done.folder).results[0]
    assert result.verdict == "invalid"
    assert result.reasons[0].startswith("3 of 9 samples are zero or negative")
    assert (done.pair.comparison, done.pair.new and done.pair.new.p50) == (None, None)


def test_a_job_file_that_is_cut_off_is_named(cell: Path) -> None:
    path = cell / "trial-0/job.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(BenchError, match="trial-0/job.json: ") as caught:
        read_original(cell)
    assert caught.value.hint == "Restore the file, or use the version of bench that wrote it."


def test_an_artifact_that_is_gone_is_named_with_the_way_back(cell: Path, tmp_path: Path) -> None:
    original = read_original(cell)
    with pytest.raises(BenchError, match="artifact no longer in the cache") as caught:
        find_artifact(original, tmp_path / "elsewhere")
    wanted = f"Convert it again with `bench run {tmp_path}/runs/old/scenario.yaml --only {OK.id}`."
    assert caught.value.hint == wanted


def test_an_artifact_that_changed_is_refused(cell: Path, tmp_path: Path) -> None:
    (tmp_path / "cache/artifacts/kk/model.onnx").write_bytes(b"other")
    with pytest.raises(BenchError, match=", expected "):
        find_artifact(read_original(cell), tmp_path / "cache")


def test_a_model_that_changed_is_refused(cell: Path, model: Model, tmp_path: Path) -> None:
    changed = replace(model, spec=replace(model.spec, outputs=("p",)))
    with pytest.raises(BenchError, match="model.yaml has changed since the run"):
        replay(
            read_original(cell), {"rio": changed}, here(1.0, tmp_path),
            tmp_path / "cache", tmp_path / "runs",
        )  # fmt: skip


def test_a_job_of_another_version_is_refused(cell: Path) -> None:
    path = cell / "trial-0/job.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(BenchError, match="trial job of version 1, expected version 2"):
        read_original(cell)


def test_a_folder_that_is_no_cell_is_refused(cell: Path) -> None:
    with pytest.raises(UsageError, match="not a cell of old") as caught:
        read_original(cell.with_name("nothing"))
    assert caught.value.hint == f"Choose one of {OK.id}."
    with pytest.raises(UsageError, match="not a run"):
        read_original(cell.parent)
