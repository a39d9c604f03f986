"""A device's share of a run: lost devices are tried once more, and nothing costs another cell."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from records_for_tests import STATE

from harness import formats, kinds
from harness.cache import file_sha256
from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import CannotRun, DeviceLost, RunEnds, StepFailed
from harness.kinds import Kind
from harness.records import (
    Artifact,
    Cell,
    DeviceFacts,
    DeviceSpec,
    Image,
    ModelSpec,
    Parity,
    Plan,
    RunInfo,
    TensorSpec,
)
from harness.run import cell as cells_of
from harness.run.device_worker import DeviceWorker, Stopped, run_device
from harness.run.job import CellJob, DeviceJob, ModelInputs, RunRules
from harness.run.recorder import Recorder
from harness.runner.job import PROFILES, Answer, Job, TrialAnswer
from harness.serial import dumps, loads
from harness.steps.jobs import Place
from harness.store import Run, RunFolder, read_run
from harness.transports import Transport
from harness.transports.local import LocalTransport

PHONE = DeviceSpec("phone", "android", "adb", emulated=True)
SPEC = ModelSpec(
    "m", "detection", "n.py", "b", "w.pt", "0", (TensorSpec("i", (1, 3, 8, 8)),), ("o",), ("c",)
)
IMAGE = Image("onnx", "bundle", "onnx.tar.gz", "sha256:aa", True, 0.0)
ANSWER = TrialAnswer(
    load_ms=1.0,
    first_ms=2.0,
    import_ms=3.0,
    settled=True,
    stopped_by="interval",
    warmup_s=0.1,
    loop_s=0.2,
    stages_s=0.1,
    process_s=0.5,
    peak_rss_bytes=10**8,
    os_threads=1,
    affinity=(7,),
    runtime_version="1.0",
    python_version="3.11.2",
    before=STATE,
    after=STATE,
)


class Phone:
    """Runs trials by writing what a trial leaves; `script` has what goes wrong, call by call."""

    def __init__(self, script: Iterator[Exception | None]) -> None:
        self.script, self.ran = script, 0

    def locate(self, mount: Mount) -> str:
        return mount.target

    def run(self, image: Image, job: JobSpec, on_line: Any = None) -> CompletedJob:
        self.ran += 1
        trouble = next(self.script, None)
        if trouble:
            raise trouble
        folder = next(mount.host for mount in job.mounts if mount.writable)
        (folder / "result.json").write_text(dumps(ANSWER))
        latency = np.full(80, 5_000_000 + self.ran, np.int64)
        names = ("latency_ns", "start_ns", "warmup_ns", "pre_ns", "infer_ns", "post_ns", "e2e_ns")
        np.savez(folder / "samples.npz", **dict.fromkeys(names, latency))
        return CompletedJob(0, "", 0.1)


class Target:
    """Satisfies `target.Target` without a device."""

    def __init__(self, folder: Path, phone: Phone) -> None:
        self.spec, self.workdir, self.phone = PHONE, str(folder), phone
        self.name = "phone"
        self.gone: Exception | None = None
        self.unfit: dict[str, Exception] = {}
        self.transport: Transport = LocalTransport("phone")
        self.kind: Kind = kinds.find("linux")
        self.facts, self.restored = DeviceFacts("android", "aarch64", "Android 14"), ()

    def place(self, image: str) -> Place:
        if image in self.unfit:
            raise self.unfit[image]
        runner: Any = self.phone
        return Place(runner, IMAGE, self.name)

    def wait_until_back(self) -> None:
        if self.gone:
            raise self.gone

    def kill_jobs(self) -> None:
        pass

    def claim(self, on_wait: Callable[[str], None]) -> None:
        pass

    def why_unsure(self, since: float) -> str | None:
        return None

    def cpus(self, threads: int) -> tuple[int, ...]:
        return (7,)

    def all_cpus(self) -> tuple[int, ...]:
        return (7,)

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        return nullcontext(())


@dataclass
class Bench:
    """A job for a phone, and where its results go."""

    job: DeviceJob
    recorder: Recorder
    target: Target
    events: list[dict[str, Any]]

    def run(self) -> Run:
        DeviceWorker(self.job, self.recorder, self.target).run()
        return read_run(self.recorder.folder)


Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    good = Parity(True, 1, (), 0, 0, 0, None, None)
    monkeypatch.setattr(cells_of.checks, "run_ahead", lambda *given: None)
    monkeypatch.setattr(cells_of.checks, "check_parity", lambda *given: good)
    cache = tmp_path / "cache"

    def make(phone: Phone, cells: int = 1, trials: int = 2, sha256: str = "0") -> Bench:
        names = [Cell("m", "onnx", "fp32", "phone", threads=1, batch=n + 1) for n in range(cells)]
        info = RunInfo("r", "s", "quick", "", "1", "0", "", "docker", "0", "bench run")
        known = (tmp_path / "run").is_dir()
        plan = Plan(tuple(names), ())
        store = (
            RunFolder(tmp_path / "run")
            if known
            else RunFolder.create(tmp_path / "run", info, plan, "name: s\n")
        )
        (tmp_path / "run/logs").mkdir(exist_ok=True)
        folder = cache / "artifacts/k"
        folder.mkdir(parents=True, exist_ok=True)
        (cache / "pack").mkdir(exist_ok=True)
        (tmp_path / "model").mkdir(exist_ok=True)
        for name in ("model.onnx", "log.txt"):
            (folder / name).write_text("x")
        artifact = Artifact(str(folder / "model.onnx"), sha256, 1, "k", 0.1, True, "")
        inputs = ModelInputs(
            SPEC, str(tmp_path / "model"), "pack", "pack", 1, "val", "", "outputs.npz"
        )
        rules = RunRules(PROFILES["quick"], trials, 0, 10**9, 60.0, 16, 0)
        job = DeviceJob(
            *("r", "quick", PHONE, "docker"),
            tuple(CellJob(cell, "2026-01-01", artifact) for cell in names),
            {"m": inputs},
            rules,
        )
        events: list[dict[str, Any]] = []
        engine: Any = None
        recorder = Recorder(
            store, "r", cache, engine, lambda name, **v: events.append({"event": name, **v})
        )
        return Bench(job, recorder, Target(tmp_path, phone), events)

    return make


def lost(times: int) -> list[Exception | None]:
    return [DeviceLost(f"phone: no answer {n + 1}") for n in range(times)]


def test_a_lost_phone_is_retried_once_and_no_sample_counts_twice(bench: Make) -> None:
    phone = Phone(iter([None, *lost(1)]))
    made = bench(phone)
    (result,) = made.run().results
    assert result.status == "ok"
    assert phone.ran == 3
    assert [trial.index for trial in result.trials] == [0, 1]
    assert result.summary
    assert result.summary.n == 160
    assert result.emulated
    assert [e["reason"] for e in made.events if e["event"] == "lost"] == ["phone: no answer 1"]


def test_a_phone_that_is_lost_twice_fails_that_cell_only(bench: Make) -> None:
    found = bench(Phone(iter(lost(2))), cells=2, trials=1).run().results
    assert sorted(r.status for r in found) == ["failed", "ok"]
    failed = next(r for r in found if r.status == "failed")
    assert failed.failure
    assert (failed.failure.step, failed.failure.reason) == ("measure", "phone: no answer 2")


def test_a_phone_that_is_lost_three_times_in_a_row_is_excluded(bench: Make) -> None:
    phone = Phone(iter(lost(9)))
    reasons = [r.reasons[0] for r in bench(phone, cells=4, trials=1).run().results]
    assert phone.ran == 3
    assert len(reasons) == 4
    assert (
        reasons.count("phone was excluded: lost 3 times in a row; last error: phone: no answer 3")
        == 2
    )


def test_a_phone_that_does_not_come_back_is_not_asked_again(bench: Make) -> None:
    phone = Phone(iter(lost(1)))
    made = bench(phone)
    made.target.gone = DeviceLost("phone: does not come back")
    (result,) = made.run().results
    assert phone.ran == 1
    assert result.reasons == ("phone: no answer 1",)


def test_a_trial_that_fails_for_a_reason_is_not_tried_again(bench: Make) -> None:
    phone = Phone(iter([StepFailed("exit code 1: ValueError: x")]))
    (result,) = bench(phone).run().results
    assert phone.ran == 1
    assert result.reasons == ("exit code 1: ValueError: x",)


def test_what_a_device_cannot_have_is_skipped_with_its_reason(bench: Make) -> None:
    made = bench(Phone(iter([])))
    made.target.unfit["onnx"] = CannotRun("no compatible runtime for onnx")
    (result,) = made.run().results
    assert (result.status, result.verdict) == ("skipped", None)
    assert result.failure
    assert result.failure.step == "deploy"


def test_an_unexpected_exception_costs_its_cell_alone(bench: Make) -> None:
    made = bench(Phone(iter([ValueError("no such\x1b thing")])), cells=2, trials=1)
    found = {result.status: result for result in made.run().results}
    assert set(found) == {"ok", "failed"}
    failure = found["failed"].failure
    assert failure
    assert (failure.step, failure.kind) == ("measure", "bug")
    assert failure.reason == "bug: ValueError: no such thing"
    report = (made.recorder.folder / f"cells/{found['failed'].cell.id}/bug.txt").read_text()
    assert f"unexpected ValueError in measure of {found['failed'].cell.id}" in report
    assert "Traceback (most recent call last)" in report
    assert str(made.recorder.folder) in failure.hint


def test_numbers_that_nobody_could_read_again_cost_their_cell(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarise = cells_of.summarise_cell

    def odd(run: Path, cell: Cell, *more: Any) -> Any:
        done = summarise(run, cell, *more)
        summary = replace(done.summary, load_ms=float("nan")) if cell.batch == 1 else done.summary
        return replace(done, summary=summary)

    monkeypatch.setattr(cells_of, "summarise_cell", odd)
    found = {r.cell.batch: r for r in bench(Phone(iter([])), cells=2, trials=1).run().results}
    assert found[2].status == "ok"
    assert (found[1].status, found[1].trials) == ("failed", ())
    assert found[1].reasons == (
        "what the device reports cannot be stored: CellResult.summary.load_ms: expected float, "
        "got None",
    )


def test_facts_that_nobody_could_read_again_cost_the_device(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(Phone(iter([])), cells=2)
    made.target.facts = replace(made.target.facts, model="\ud800")
    monkeypatch.setattr(
        "harness.run.device_worker.connected", lambda *given: nullcontext(made.target)
    )
    run_device(made.job, made.recorder)
    run = read_run(made.recorder.folder)
    assert [result.status for result in run.results] == ["failed", "failed"]
    assert run.results[0].reasons[0].startswith("what the device reports cannot be stored: ")


def test_an_unexpected_exception_of_a_device_costs_that_device_alone(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> AbstractContextManager[None]:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr("harness.run.device_worker.connected", broken)
    made = bench(Phone(iter([])), cells=2)
    run_device(made.job, made.recorder)
    found = read_run(made.recorder.folder).results
    assert len(found) == 2
    for result in found:
        assert result.failure
        assert (result.failure.step, result.failure.kind) == ("deploy", "bug")
        assert "UnicodeDecodeError" in result.reasons[0]


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_run_and_blames_no_cell(bench: Make, full: int) -> None:
    made = bench(Phone(iter([OSError(full, "No space left on device")])), cells=2)
    with pytest.raises(RunEnds) as caught:
        made.run()
    assert caught.value.hint == "Free some space, then continue with --resume."
    assert read_run(made.recorder.folder).results == ()


def test_a_run_that_is_being_ended_writes_nothing_of_what_was_in_hand(bench: Make) -> None:
    class Killed(Phone):
        def run(self, image: Image, job: JobSpec, on_line: Any = None) -> CompletedJob:
            made.recorder.stop()
            raise DeviceLost("closed under it")

    made = bench(Killed(iter([])))
    with pytest.raises(Stopped):
        made.run()
    assert read_run(made.recorder.folder).results == ()


@pytest.mark.parametrize(("sha256", "runs"), [("0", 1), ("another", 2)])
def test_a_resumed_worker_keeps_the_trials_that_are_there_of_the_same_artifact(
    bench: Make, sha256: str, runs: int
) -> None:
    made = bench(Phone(iter([None, StepFailed("x")])))
    made.run()
    (made.recorder.folder / "results.jsonl").unlink()
    again = Phone(iter([]))
    (result,) = bench(again, sha256=sha256).run().results
    assert again.ran == runs
    assert result.summary
    assert result.summary.n == 160


def test_a_job_survives_the_way_to_another_machine(bench: Make) -> None:
    job = bench(Phone(iter([])), cells=2).job
    assert loads(DeviceJob, dumps(job).encode()) == job


def test_what_is_known_before_the_last_trial_is_provisional(bench: Make) -> None:
    made = bench(Phone(iter([None, None, StepFailed("x")])), trials=3)
    run = made.run()
    assert [e["event"] for e in made.events if e["event"] in ("provisional", "cell")] == [
        "provisional",
        "provisional",
        "cell",
    ]
    assert run.provisional == ()
    (made.recorder.folder / "results.jsonl").unlink()
    (early,) = read_run(made.recorder.folder).provisional
    assert early.summary
    assert early.summary.trials == 2


class Converter(Phone):
    """A phone that also converts, as a format does whose file only the device itself can make."""

    def __init__(self, script: Iterator[Exception | None]) -> None:
        super().__init__(script)
        self.jobs: list[tuple[str, str, str]] = []

    def run(self, image: Image, job: JobSpec, on_line: Any = None) -> CompletedJob:
        folder = next(mount.host for mount in job.mounts if mount.writable)
        given = loads(Job, (folder / "job.json").read_bytes())
        self.jobs.append((given.mode, given.format, given.source))
        if given.mode != "convert":
            return super().run(image, job, on_line)
        if trouble := next(self.script, None):
            raise trouble
        (folder / Path(given.artifact).name).write_text("made on the phone")
        (folder / "result.json").write_text(dumps(Answer(0.5, "1.0")))
        job.log.write_text("tuned 3 kernels\n")
        return CompletedJob(0, "", 0.5)


@pytest.fixture
def tuned(bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Cells of a format that is converted on the device; nothing of it was made on the host."""
    onnx = formats.REGISTRY["onnx"].SPEC
    spec = replace(
        onnx, name="tuned", converter="tuned", suffix=".tuned", converted_on="device", image="tuned"
    )
    monkeypatch.setitem(formats.REGISTRY, "tuned", cast(formats.Format, SimpleNamespace(SPEC=spec)))
    monkeypatch.setattr("harness.steps.convert.format_sha256", lambda name: f"files of {name}")
    source = tmp_path / "model"

    def make(phone: Phone, cells: int = 1, trials: int = 1) -> Bench:
        made = bench(phone, cells, trials)
        source.mkdir(exist_ok=True)
        (source / "w.pt").write_text("weights")
        model = replace(SPEC, weights_sha256=file_sha256(source / "w.pt"))
        inputs = replace(made.job.models["m"], spec=model, folder=str(source))
        asked = tuple(
            CellJob(replace(one.cell, format="tuned"), one.started_at, None)
            for one in made.job.cells
        )
        made.job = replace(made.job, cells=asked, models={"m": inputs})
        return made

    return make


def test_a_format_of_the_device_s_own_is_converted_there_once_for_all_its_cells(
    tuned: Make,
) -> None:
    phone = Converter(iter([]))
    made = tuned(phone, cells=2)
    first, second = made.run().results
    assert (first.status, second.status) == ("ok", "ok")
    assert phone.jobs[0] == ("convert", "tuned", "/model")
    assert [mode for mode, _, _ in phone.jobs] == ["convert", "trial", "trial"]
    assert first.artifact
    assert first.artifact == second.artifact
    assert Path(first.artifact.path).read_text() == "made on the phone"
    assert first.artifact.size_bytes == len("made on the phone")
    log = made.recorder.folder / f"cells/{first.cell.id}/convert.log"
    assert log.read_text() == "tuned 3 kernels\n"


def test_what_one_device_converted_is_not_another_device_s(tuned: Make) -> None:
    phone = Converter(iter([]))
    made = tuned(phone)
    made.run()
    (made.recorder.folder / "results.jsonl").unlink()
    other = Converter(iter([]))
    again = tuned(other)
    again.target.name = "another phone"
    (result,) = again.run().results
    assert result.status == "ok"
    assert other.jobs[0][0] == "convert"


def test_a_device_that_cannot_convert_fails_at_that_step(tuned: Make) -> None:
    made = tuned(Converter(iter([StepFailed("exit code 1: no kernel for GridSample")])))
    (result,) = made.run().results
    assert result.failure
    assert (result.failure.step, result.failure.reason) == (
        "convert",
        "exit code 1: no kernel for GridSample",
    )


def test_a_device_that_is_lost_while_it_converts_is_tried_once_more(tuned: Make) -> None:
    phone = Converter(iter(lost(1)))
    (result,) = tuned(phone).run().results
    assert result.status == "ok"
    assert [mode for mode, _, _ in phone.jobs] == ["convert", "convert", "trial"]
