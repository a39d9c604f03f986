"""A device's lane: what is lost is tried once more, counted once, set aside after three losses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records_for_tests import STATE

from harness import kinds
from harness.containers import Completed, JobSpec, Mount
from harness.errors import CannotRun, DeviceLost, StepFailed
from harness.kinds import Kind
from harness.records import (
    Cell,
    DeviceFacts,
    DeviceSpec,
    Image,
    ModelSpec,
    Plan,
    RunInfo,
    TensorSpec,
)
from harness.run.device_worker import Lane, Rules, Stopped
from harness.run.prepare import Pictures, Prepared
from harness.run.recorder import Ledger, Work
from harness.runner.job import PROFILES, TrialAnswer
from harness.serial import dumps
from harness.steps.infer import Loadable
from harness.steps.jobs import Place
from harness.store import RunFolder, read_run
from harness.transports import Transport
from harness.transports.local import LocalTransport

PHONE = DeviceSpec("phone", "android", "adb", emulated=True)
SPEC = ModelSpec(
    "m", "detection", "n.py", "b", "w.pt", "0", TensorSpec("i", (1, 3, 8, 8)), ("o",), ("c",)
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

    def run(self, image: Image, job: JobSpec, on_line: Any = None) -> Completed:
        self.ran += 1
        trouble = next(self.script, None)
        if trouble:
            raise trouble
        folder = next(mount.host for mount in job.mounts if mount.writable)
        (folder / "result.json").write_text(dumps(ANSWER))
        latency = np.full(80, 5_000_000 + self.ran, np.int64)
        names = ("latency_ns", "start_ns", "warmup_ns", "pre_ns", "infer_ns", "post_ns", "e2e_ns")
        np.savez(folder / "samples.npz", **dict.fromkeys(names, latency))
        return Completed(0, "", 0.1)


class Site:
    """Satisfies `sites.Site` without a device."""

    def __init__(self, folder: Path) -> None:
        self.spec, self.workdir = PHONE, str(folder)
        self.transport: Transport = LocalTransport("phone")
        self.kind: Kind = kinds.find("linux")
        self.facts, self.restored = DeviceFacts("android", "aarch64", "Android 14"), ()

    def place(self, image: str) -> Place:
        raise AssertionError("preparation asks for it, and that is not here")

    def cpus(self, threads: int) -> tuple[int, ...]:
        return (7,)

    def all_cpus(self) -> tuple[int, ...]:
        return (7,)

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        return nullcontext(())


class Checks:
    """Preparation's `check` for cells that are ready, or not at all."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble

    def check(self, cell: Cell, got: Prepared, site: Site) -> None:
        got.at = "deploy"
        if self.trouble:
            raise self.trouble


@pytest.fixture
def lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Lane, Ledger, list[dict[str, Any]]]]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def make(
        phone: Phone,
        cells: int = 1,
        trials: int = 2,
        came_back: Callable[[], None] = lambda: None,
        checks: Checks | None = None,
        stop: threading.Event | None = None,
    ) -> tuple[Lane, Ledger, list[dict[str, Any]]]:
        names = [Cell("m", "onnx", "fp32", "phone", threads=1, batch=n + 1) for n in range(cells)]
        info = RunInfo("r", "s", "quick", "", "1", "0", "", "docker", "0", "bench run")
        store = RunFolder.create(tmp_path / "run", info, Plan(tuple(names), ()), "name: s\n")
        events: list[dict[str, Any]] = []
        ledger = Ledger(
            store, info, {"phone": PHONE}, lambda event, **v: events.append({"event": event, **v})
        )
        model: Any = type("M", (), {"spec": SPEC, "folder": tmp_path})
        (tmp_path / "pack").mkdir(exist_ok=True)
        (tmp_path / "model.onnx").write_text("x")
        what = Loadable(model, "onnx", "fp32", tmp_path / "model.onnx", "0", Place(phone, IMAGE))
        dataset: Any = None
        pictures = Pictures(dataset, tmp_path / "pack", tmp_path / "pack", 1)
        works = [Work(cell, Prepared(what=what, pictures=pictures)) for cell in names]
        rules = Rules(PROFILES["quick"], trials, 0, 10**9)
        ready: Any = checks or Checks()
        made = Lane(
            Site(tmp_path), works, rules, ready, ledger, came_back, stop or threading.Event()
        )
        return made, ledger, events

    return make


def results(ledger: Ledger) -> list[Any]:
    return list(read_run(ledger.folder).results)


def lost(times: int) -> list[Exception | None]:
    return [DeviceLost(f"phone: no answer {n + 1}") for n in range(times)]


def test_a_lost_phone_is_retried_once_and_no_sample_counts_twice(lane: Any) -> None:
    phone = Phone(iter([None, *lost(1)]))
    made, ledger, events = lane(phone)
    made.measure()
    (result,) = results(ledger)
    assert result.status == "ok"
    assert phone.ran == 3
    assert [trial.index for trial in result.trials] == [0, 1]
    assert result.summary.n == 160
    assert result.emulated
    assert [e["reason"] for e in events if e["event"] == "lost"] == ["phone: no answer 1"]


def test_a_phone_that_is_lost_twice_fails_that_cell_only(lane: Any) -> None:
    made, ledger, _ = lane(Phone(iter(lost(2))), cells=2, trials=1)
    made.measure()
    found = {result.cell.id: result for result in results(ledger)}
    assert sorted(r.status for r in found.values()) == ["failed", "ok"]
    failed = next(r for r in found.values() if r.status == "failed")
    assert (failed.failure.step, failed.failure.reason) == ("measure", "phone: no answer 2")


def test_a_phone_that_is_lost_three_times_in_a_row_is_set_aside(lane: Any) -> None:
    phone = Phone(iter(lost(9)))
    made, ledger, _ = lane(phone, cells=4, trials=1)
    made.measure()
    assert phone.ran == 3
    reasons = [result.reasons[0] for result in results(ledger)]
    assert len(reasons) == 4
    assert (
        reasons.count(
            "phone was set aside: it was lost 3 times in a row; the last time: phone: no answer 3"
        )
        == 2
    )


def test_a_phone_that_does_not_come_back_is_not_asked_again(lane: Any) -> None:
    def gone() -> None:
        raise DeviceLost("phone: does not come back")

    phone = Phone(iter(lost(1)))
    made, ledger, _ = lane(phone, came_back=gone)
    made.measure()
    assert phone.ran == 1
    assert results(ledger)[0].failure.reason == "phone: no answer 1"


def test_a_trial_that_fails_for_a_reason_is_not_tried_again(lane: Any) -> None:
    phone = Phone(iter([StepFailed("exit code 1: ValueError: x")]))
    made, ledger, _ = lane(phone)
    made.measure()
    assert phone.ran == 1
    assert results(ledger)[0].reasons == ("exit code 1: ValueError: x",)


def test_what_a_device_cannot_have_is_a_hole_with_its_reason(lane: Any) -> None:
    made, ledger, _ = lane(Phone(iter([])), checks=Checks(CannotRun("phone can have no runner")))
    made.check()
    made.measure()
    (result,) = results(ledger)
    assert (result.status, result.verdict) == ("skipped", None)
    assert result.failure.step == "deploy"


def test_a_run_that_is_being_ended_writes_nothing_of_what_was_in_hand(lane: Any) -> None:
    stop = threading.Event()

    class Killed(Phone):
        def run(self, image: Image, job: JobSpec, on_line: Any = None) -> Completed:
            stop.set()
            raise DeviceLost("closed under it")

    made, ledger, _ = lane(Killed(iter([])), stop=stop)
    with pytest.raises(Stopped):
        made.measure()
    assert results(ledger) == []


@pytest.mark.parametrize(("sha256", "runs"), [("0", 1), ("another", 2)])
def test_a_resumed_lane_keeps_the_trials_that_are_there_of_the_same_artifact(
    lane: Any, tmp_path: Path, sha256: str, runs: int
) -> None:
    first = Phone(iter([None, StepFailed("x")]))
    made, ledger, _ = lane(first)
    made.measure()
    (ledger.folder / "results.jsonl").unlink()
    again = Phone(iter([]))
    works = [replace(work, over=False, trials=[]) for work in made._works]
    for work in works:
        runner: Any = again
        work.got.what = replace(work.got.what, place=Place(runner, IMAGE), sha256=sha256)
    rest = Lane(
        Site(tmp_path),
        works,
        made._rules,
        made._preparation,
        ledger,
        lambda: None,
        threading.Event(),
    )
    rest.measure()
    assert again.ran == runs
    assert results(ledger)[0].summary.n == 160
