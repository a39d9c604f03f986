"""The last two steps of `devices check`: a runtime that is there, and one inference by it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_datasets import make
from test_jobs import MODEL

from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import StepFailed
from harness.records import DeviceSpec, Image
from harness.runner.job import Answer, Job
from harness.scenario.model import Model
from harness.scenario.plan import Inventory, formats
from harness.serial import dumps, loads
from harness.targets.first_inference import FirstRun
from harness.transports import Transport, connect

LOCAL = DeviceSpec("local", "linux", "local")


class Engine:
    """Builds a name; a job leaves what its mode owes."""

    name = "docker"

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def build(self, name: str, log: Path, on_line: Any = None) -> Image:
        return Image(name, "docker", f"bench/{name}:1", "sha256:aa", True, 0.0)

    def locate(self, mount: Mount) -> str:
        return mount.target

    def run(self, image: Image, job: JobSpec, on_line: Any = None) -> CompletedJob:
        folder = next(mount.host for mount in job.mounts if mount.writable)
        self.jobs.append(loads(Job, (folder / "job.json").read_bytes()))
        if self.jobs[-1].mode == "convert":
            (folder / "model.tflite").write_bytes(b"0123456789")
        else:
            np.savez(folder / "outputs.npz", o=np.zeros((1, 5), np.float32))
        (folder / "result.json").write_text(dumps(Answer(1.0, "1.0")))
        return CompletedJob(0, "", 0.1)


Start = Callable[..., tuple[FirstRun, Engine, Transport]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def start(
        with_dataset: bool = True, source: str = "pytorch"
    ) -> tuple[FirstRun, Engine, Transport]:
        folder = tmp_path / "m"
        folder.mkdir()
        (folder / "w.pt").write_bytes(b"weights")
        spec = replace(MODEL, weights_sha256=hashlib.sha256(b"weights").hexdigest(), source=source)
        named = {"toy": make(folder / "val", [(8, 8)] * 3)} if with_dataset else {}
        models = {"m": Model(spec, folder, named)}
        engine: Any = Engine()
        inventory = Inventory(models, {"local": LOCAL}, formats(), ("m",))
        return FirstRun(engine, inventory, tmp_path / "cache"), engine, connect(LOCAL)

    return start


def test_the_runtime_and_one_inference_are_told(start: Start) -> None:
    first, engine, transport = start()
    facts: Any = None  # this machine's own are read by its site
    assert first.runtime(transport, LOCAL, facts) == "TFLite (LiteRT) as docker bench/tflite:1"
    assert first.infer(transport, LOCAL, facts) == "m on one image: 276 bytes of outputs"
    assert [(job.mode, job.images) for job in engine.jobs] == [("convert", 0), ("outputs", 1)]


def test_the_model_is_converted_once_but_each_check_infers(start: Start) -> None:
    first, engine, transport = start()
    facts: Any = None
    first.runtime(transport, LOCAL, facts)
    first.infer(transport, LOCAL, facts)
    first.infer(transport, LOCAL, facts)
    assert [job.mode for job in engine.jobs] == ["convert", "outputs", "outputs"]


def test_without_a_dataset_there_is_nothing_to_infer_on(start: Start) -> None:
    first, _, transport = start(with_dataset=False)
    facts: Any = None
    first.runtime(transport, LOCAL, facts)
    with pytest.raises(StepFailed, match="has a dataset, so there is no image to test with"):
        first.infer(transport, LOCAL, facts)


def test_a_model_that_cannot_be_converted_for_it_is_passed_over(start: Start) -> None:
    first, _, transport = start(source="torchscript")
    facts: Any = None
    first.runtime(transport, LOCAL, facts)
    with pytest.raises(StepFailed) as raised:
        first.infer(transport, LOCAL, facts)
    assert raised.value.message == (
        "no model that can be converted to TFLite (LiteRT) has a dataset, so there is no image to "
        "test with"
    )
