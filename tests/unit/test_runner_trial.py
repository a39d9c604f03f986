"""A whole job in this process, with a runtime that does next to nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness import formats
from harness.formats.placement import Profiled
from harness.records import Layer, ModelSpec, TensorSpec
from harness.runner.job import PROFILES, VERSION, Job
from harness.runner.modes import MODES
from harness.runner.patterns import REGISTRY
from harness.serial import dumps, from_json

MODEL = ModelSpec(
    "m", "classification", "n.py", "b", "w.pt", "0",
    (TensorSpec("images", (1, 3, 8, 8)),), ("logits",), ("a", "b"),
)  # fmt: skip
SMOKE = PROFILES["smoke"]


class Engine:
    """Adds up what it was fed."""

    inputs: tuple[TensorSpec, ...] = MODEL.inputs
    unbound = ("logits",)

    def __init__(self) -> None:
        self.sum = np.zeros((1, 2), np.float32)
        self._fed = np.zeros(MODEL.input.shape, np.float32)

    def feed(self, tensors: Any) -> None:
        self._fed[...] = tensors[0]

    def invoke(self) -> None:
        self.sum[0, 0] = self._fed.sum()

    def fetch(self) -> dict[str, np.ndarray]:
        return {"logits": self.sum}


FAKE = SimpleNamespace(
    SPEC=SimpleNamespace(runtime="json", imports=("json.decoder",)),
    load=lambda path, model, options: Engine(),
    profile=lambda path, model, options, inputs, runs: Profiled(
        "CPU", "tool", runs, (Layer("a", "Add", "CPU", 1.0), Layer("b", "Conv", "CPU", 3.0))
    ),
)


@pytest.fixture(autouse=True)
def fake_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats.REGISTRY, "pytorch", FAKE)


def do(folder: Path, mode: Any, pattern: str = "single", **options: Any) -> Any:
    pack = folder / "pack"
    pack.mkdir()
    np.save(pack / "ids.npy", np.arange(3))
    np.save(pack / "shapes.npy", np.full((3, 3), (12, 10, 3), np.int64))
    np.save(pack / "pixels.npy", np.arange(3 * 12 * 10 * 3, dtype=np.uint8).reshape(3, 12, 10, 3))
    rules = dataclasses.replace(SMOKE, pattern=pattern, options=options, stages_cap_s=30.0)
    job = Job(VERSION, mode, "pytorch", "fp32", 1, MODEL, "", "m", str(pack), 3, rules)
    assert from_json(Job, json.loads(dumps(job))) == job
    return MODES[mode](job, folder, lambda event, **values: None, 0)


@pytest.mark.parametrize("pattern", REGISTRY)
def test_each_pattern_makes_a_whole_trial(tmp_path: Path, pattern: str) -> None:
    quick = {"minutes": 0.005, "rate_hz": 200.0, "rates_hz": [100.0], "rate_samples": 8}
    answer = do(tmp_path, "trial", pattern, **quick)
    with np.load(tmp_path / "samples.npz") as samples:
        arrays = {name: samples[name] for name in samples.files}
    assert {a.dtype.kind for a in arrays.values()} == {"i"}
    assert {a.ndim for a in arrays.values()} == {1}
    assert len(arrays["latency_ns"]) == len(arrays["start_ns"]) >= 8
    assert len(arrays["e2e_ns"]) >= 2
    assert ("scheduled_ns" in arrays) == (pattern in ("camera", "server"))
    assert (answer.arrivals is None) == (pattern == "single")
    assert from_json(type(answer), json.loads(dumps(answer))) == answer


def test_a_trial_tells_its_threads_and_its_memory(tmp_path: Path) -> None:
    answer = do(tmp_path, "trial", "sustained", minutes=0.01)
    assert answer.busy_threads == 1
    assert 0 < answer.memory.base_rss_bytes <= answer.peak_rss_bytes
    assert answer.peak_rss_bytes >= max(
        answer.memory.import_rss_bytes, answer.memory.load_rss_bytes, answer.memory.infer_rss_bytes
    )


def test_a_profile_leaves_layers_most_time_first(tmp_path: Path) -> None:
    answer = do(tmp_path, "profile")
    layers = json.loads((tmp_path / "layers.json").read_text())
    assert [(row["name"], row["share"]) for row in layers] == [("b", 0.75), ("a", 0.25)]
    assert (answer.layers, answer.placement.total_ms, answer.placement.refused) == (2, 4.0, False)


def test_an_answer_of_an_older_runner_still_reads() -> None:
    from harness.runner.job import TrialAnswer

    old = {
        "load_ms": 1.0, "first_ms": 1.0, "import_ms": 1.0, "settled": True, "stopped_by": "cap",
        "warmup_s": 1.0, "loop_s": 1.0, "stages_s": 1.0, "process_s": 4.0, "peak_rss_bytes": 1,
        "os_threads": 1, "affinity": [0], "runtime_version": "1", "python_version": "3.11",
        "before": {"taken_at": "a"}, "after": {"taken_at": "b"},
    }  # fmt: skip
    answer = from_json(TrialAnswer, old)
    assert (answer.memory, answer.busy_threads, answer.arrivals) == (None, None, None)


TENSORS = dataclasses.replace(
    MODEL, task="tensor", classes=(),
    inputs=(TensorSpec("x", (1, 4)), TensorSpec("ids", (2,), "int64")),
)  # fmt: skip


class TensorEngine(Engine):
    """Takes int32 where the model says int64, as some converters make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = (TENSORS.inputs[0], TensorSpec("ids", (2,), "int32"))
        self.fed: list[tuple[str, ...]] = []

    def feed(self, tensors: Any) -> None:
        self.fed.append(tuple(one.dtype.name for one in tensors))


@pytest.mark.parametrize("mode", ["trial", "profile", "outputs"])
def test_samples_of_tensors_go_through_every_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    engine = TensorEngine()
    fake = SimpleNamespace(**{**vars(FAKE), "load": lambda path, model, options: engine})
    monkeypatch.setitem(formats.REGISTRY, "pytorch", fake)
    pack = tmp_path / "pack"
    pack.mkdir()
    np.save(pack / "ids.npy", np.arange(3))
    np.save(pack / "tensor-0.npy", np.ones((3, 1, 4), np.float32))
    np.save(pack / "tensor-1.npy", np.arange(6).reshape(3, 2))
    rules = dataclasses.replace(SMOKE, stages_cap_s=30.0)
    job = Job(VERSION, mode, "pytorch", "fp32", 1, TENSORS, "", "m", str(pack), 3, rules)  # type: ignore[arg-type]
    answer = MODES[mode](job, tmp_path, lambda event, **values: None, 0)
    if mode != "profile":
        assert set(engine.fed) == {("float32", "int32")}
    if mode == "trial":
        assert answer.unbound == ("logits",)
    if mode == "outputs":
        with np.load(tmp_path / "outputs.npz") as found:
            assert found["logits"].shape == (3, 1, 2)
