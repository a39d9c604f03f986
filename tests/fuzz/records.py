"""Targets: records and arrays of runs, jobs and this machine's own cache."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from example_run import devices as example_devices
from example_run.run import ExampleRun, example

from harness import export, locks, store
from harness.analysis import noise_floor
from harness.containers import daemon
from harness.errors import BenchError
from harness.metrics import coco_map, topk
from harness.monitor import state_file
from harness.preview.history import read_history
from harness.records import CellResult, Layer, ModelSpec, TensorSpec
from harness.report import data as report_data
from harness.report import pictures, placement
from harness.report.readings import read_states
from harness.run import replay
from harness.runner.job import PROFILES, VERSION, Answer, Job, TrialAnswer
from harness.serial import Malformed, dumps, loads, parse
from harness.tasks import Detections, rle
from harness.tasks.detections import pack
from harness.transports import manifest
from harness.untrusted import results, text

from .mutate import json_value, zip_member
from .target import Reader, Target, of_file, pure

CELL: Final = "rio-onnx-fp32-local-t1-b1"
SIZE: Final = (20, 30)
CLASSES: Final = ("card", "hand")


@lru_cache
def run() -> ExampleRun:
    """A made-up run of two cells, with everything that a run has."""
    folder = Path(tempfile.mkdtemp(prefix="bench-fuzz-")) / "run"
    made = example(folder, devices=("local",), formats=("onnx",), samples=40, trials=2)
    keeper = store.RunFolder.create(folder, made.info, made.plan, "name: rio\n")
    for result in made.results:
        keeper.add(result)
    (folder / "events.jsonl").write_text(
        '{"event": "task_end", "at": 1.5, "task": "image onnx", "outcome": "ok", "seconds": 3.5}\n'
        '{"event": "trial_begin", "at": 2.5, "cell": "rio-onnx-fp32-local-t1-b1", "index": 0}\n'
    )
    return made


def _files(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(run().folder.rglob(pattern))[:4]]


# ---- JSON --------------------------------------------------------------------------------------


def result(data: bytes) -> object:
    """What is read can be written, and is the same again."""
    found = loads(CellResult, data, "result")
    assert loads(CellResult, dumps(found)) == found
    return found


def json_text(data: bytes) -> object:
    found = parse(data, "text")
    assert parse(json.dumps(found), "text") == found
    return found


def _answers() -> list[bytes]:
    trial = run().results[0].trials[0]
    made = TrialAnswer(
        1.5, 2.5, 3.5, True, "interval", 1.0, 2.0, 3.0, 7.0, 10**8, 3, (0, 1), "1.20", "3.11",
        trial.before, trial.after, trial.memory, 2, (99.0,), trial.arrivals, 0.5,
    )  # fmt: skip
    return [dumps(made).encode(), dumps(Answer(1.5, "1.20", 4)).encode()]


def answer(path: Path) -> object:
    return text.read_record(TrialAnswer, path)


def _job() -> bytes:
    spec = ModelSpec("rio", "detection", "n.py", "build", "w.pt", "ab" * 32,
                     (TensorSpec("images", (1, 3, 8, 8)),), ("boxes",), CLASSES)  # fmt: skip
    made = Job(
        version=VERSION, mode="trial", format="onnx", precision="fp32", threads=1, model=spec, source="/model",
        artifact="/artifact/model.onnx", pack="/pack", images=16, measure=PROFILES["quick"], cpus=(0, 1), memory_bytes=10**9,
    )  # fmt: skip
    return dumps(made, indent=1).encode()


def job(path: Path) -> object:
    trial = replace(run().results[0].trials[0], folder=path.parent.name)
    return replay._job(path.parent.parent, trial)


def read_folder(name: str) -> Any:
    """`store.read_run` and what is made of it, with one of the run's files exchanged."""

    def make(folder: Path) -> Reader:
        store.RunFolder.create(folder / "r", run().info, run().plan, "name: rio\n")
        path = folder / "r" / name
        path.parent.mkdir(exist_ok=True)

        def read(data: bytes) -> object:
            path.write_bytes(data)
            found = store.read_run(path.parents[len(Path(name).parts) - 1])
            store.read_devices(found.folder)
            export.as_csv(found)
            export.as_junit(found)
            return export.as_markdown(found)

        return read

    return make


def history(name: str) -> Any:
    """Reads leniently: whatever it is, there is an estimate."""

    def make(folder: Path) -> Reader:
        (folder / "runs" / "r").mkdir(parents=True)
        (folder / "runs" / "r" / "run.json").write_bytes(_files("run.json")[0])

        def read(data: bytes) -> object:
            (folder / "runs" / "r" / name).write_bytes(data)
            return read_history(folder / "runs")

        return read

    return make


def states(path: Path) -> object:
    """By the report, which leaves out what is wrong, and then by the judge, which does not."""
    read_states(path.parent, (0, 1))
    return state_file.read(path)


def layers(path: Path) -> object:
    cell = run().plan.cells[0]
    folder = path.parents[2]
    placement.layers(folder, cell, True)
    return text.read_records(Layer, path)


def noise(path: Path) -> object:
    return noise_floor.load(path.parents[1], "local")


def holder(folder: Path) -> Reader:
    """The lock is another's, so what it says is read."""
    path = folder / "lock"
    path.touch()
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)

    def read(data: bytes) -> object:
        os.truncate(path, 0)
        os.pwrite(other, data, 0)
        found = locks.holder(path)
        return found.text if found else None

    return read


def hashes(folder: Path) -> Reader:
    """What an earlier push remembered of a file."""
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    (folder / "pushed").write_bytes(b"content")
    manifest.read(folder / "pushed")
    known = manifest._Known(folder / "pushed")._file
    known.parent.mkdir(parents=True, exist_ok=True)

    def read(data: bytes) -> object:
        known.write_bytes(data)
        return manifest.read(folder / "pushed").content

    return read


def docker_config(folder: Path) -> Reader:
    def read(data: bytes) -> object:
        (folder / "config.json").write_bytes(data)
        found = daemon.endpoint({"DOCKER_CONFIG": str(folder)})
        return found.host, found.socket

    return read


def docker_context(folder: Path) -> Reader:
    path = folder / "contexts" / "meta" / hashlib.sha256(b"alt").hexdigest() / "meta.json"
    path.parent.mkdir(parents=True)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        found = daemon.endpoint({"DOCKER_CONFIG": str(folder), "DOCKER_CONTEXT": "alt"})
        return found.host, found.socket

    return read


# ---- arrays ------------------------------------------------------------------------------------


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


@lru_cache
def _samples() -> list[bytes]:
    count = np.arange(1, 41, dtype=np.int64)
    whole = dict.fromkeys(("latency_ns", "start_ns", "warmup_ns", "e2e_ns"), count * 10**5)
    return [npz(**whole), npz(True, **whole), *_files("samples.npz")[:1]]


def samples(path: Path) -> object:
    results.read_samples(path)
    report_data.load_trial(path.parent, replace(run().results[0].trials[0], folder="."))
    return results.check_samples(path)


@lru_cache
def predictions() -> list[bytes]:
    runs = rle.encode(np.ones((8, 10), np.bool_), SIZE, (5, 5))
    box = np.array([(5, 5, 15, 13), (1, 1, 3, 3)], np.float32)
    found = Detections(
        box, np.array([0.9, 0.5], np.float32), np.array([0, 1], np.int32), (runs, runs)
    )
    plain = Detections(found.boxes, found.scores, found.labels)
    rows = [
        (4, SIZE, found),
        (9, (5, 7), Detections(box[:0], found.scores[:0], found.labels[:0], ())),
    ]
    return [npz(True, **pack(rows)), npz(**pack(rows)), npz(**pack([(4, SIZE, plain)]))]


def found_on(path: Path) -> object:
    pictures.read_predictions(path)
    return results.read_predictions(path)


def outputs(path: Path) -> object:
    return results.read_outputs(path, ("boxes", "scores"), 2)


def _outputs() -> list[bytes]:
    return [npz(boxes=np.zeros((2, 3, 4), np.float32), scores=np.ones((2, 3), np.float16)),
            npz(True, boxes=np.zeros((2, 0), np.bool_), scores=np.ones((2,), np.int64)),
            npz(boxes=np.zeros(12, np.float32), scores=np.ones((2, 1)),
                **{"boxes:shapes": np.array([(3, 4), (0, 4)])})]  # fmt: skip


TRUTH: Final = {
    "images": [{"id": 4, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]},
               {"id": 9, "file_name": "b.png", "height": 5, "width": 7}],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 7, "bbox": [5, 5, 10, 8], "area": 80, "iscrowd": 0,
         "segmentation": [[5, 5, 15, 5, 15, 13, 5, 13]]},
        {"id": 2, "image_id": 9, "category_id": 8, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0,
         "segmentation": {"size": [5, 7], "counts": [0, 5, 30]}},
    ],
    "categories": [{"id": 7, "name": "card"}, {"id": 8, "name": "hand"}],
}  # fmt: skip


def scored(folder: Path) -> Reader:
    """What was found, however odd, scored against what is true."""
    truth, path = folder / "annotations.json", folder / "predictions.npz"
    truth.write_text(json.dumps(TRUTH))

    def read(data: bytes) -> object:
        path.write_bytes(data)
        arrays = results.read_predictions(path, images=None)
        topk.score(arrays, truth, CLASSES)
        return coco_map.score(arrays, truth, CLASSES)

    return read


WORDS: Final = (b'"status"', b'"ok"', b'"trials"', b'"summary"', b'"p50"', b'"run_id"', b'"cell"')
JSON: Final = (json_value,)
TARGETS: Final = (
    Target(
        "json",
        pure(json_text),
        lambda: [*_files("results.jsonl")[0].splitlines()[:1], *_files("run.json")],
        WORDS,
        JSON,
        (Malformed,),
        80,
    ),  # fmt: skip
    Target(
        "result",
        pure(result),
        lambda: _files("results.jsonl")[0].splitlines(),
        WORDS,
        JSON,
        (Malformed,),
        15,
    ),  # fmt: skip
    Target(
        "result.json", of_file("result.json", answer), lambda: _answers()[:1], (), JSON, share=20
    ),
    Target("job.json", of_file("run/trial/job.json", job), lambda: [_job()], (), JSON, share=20),
    Target("run.json", read_folder("run.json"), lambda: _files("run.json"), (), JSON, share=15),
    Target("plan.json", read_folder("plan.json"), lambda: _files("plan.json"), (), JSON, share=12),
    Target(
        "results.jsonl",
        read_folder("results.jsonl"),
        lambda: _files("results.jsonl"),
        WORDS,
        JSON,
        share=4,
    ),  # fmt: skip
    Target(
        "provisional.jsonl",
        read_folder("provisional.jsonl"),
        lambda: _files("results.jsonl"),
        WORDS,
        JSON,
        share=3,
    ),  # fmt: skip
    Target(
        "devices.json",
        read_folder("devices/local.json"),
        lambda: [
            dumps(example_devices.about(name), indent=1).encode() for name in ("local", "jetson")
        ],
        (),
        JSON,
        share=6,
    ),  # fmt: skip
    Target(
        "events.jsonl",
        history("events.jsonl"),
        lambda: _files("events.jsonl"),
        (b'"task_end"', b'"seconds"'),
        JSON,
        (),
        10,
    ),  # fmt: skip
    Target(
        "history", history("results.jsonl"), lambda: _files("results.jsonl"), WORDS, JSON, (), 8
    ),  # fmt: skip
    Target(
        "state.jsonl",
        of_file("state.jsonl", states),
        lambda: _files("state.jsonl"),
        (),
        JSON,
        (BenchError, Malformed),
        6,
    ),  # fmt: skip
    Target(
        "layers.json",
        of_file(f"r/cells/{CELL}/layers.json", layers),
        lambda: _files("layers.json"),
        (),
        JSON,
        share=6,
    ),  # fmt: skip
    Target(
        "noise.json",
        of_file("noise/local.json", noise),
        lambda: [dumps(one, indent=1).encode() for one in example_devices.noise().values()],
        (),
        JSON,
        (),
        20,
    ),  # fmt: skip
    Target(
        "lock",
        holder,
        lambda: [dumps(locks.whoami("run x")).encode() + b"\n"],
        (b'"since"',),
        JSON,
        (),
        60,
    ),  # fmt: skip
    Target("hashes.json", hashes, lambda: [b'{"pushed": [7, 1, 2, 3, "ab"]}'], (), JSON, (), 15),
    Target(
        "docker config.json",
        docker_config,
        lambda: [b'{"currentContext": "default"}', b'{"currentContext": "alt", "auths": {}}'],
        (),
        JSON,
        (),
        40,
    ),  # fmt: skip
    Target(
        "docker meta.json",
        docker_context,
        lambda: [b'{"Name": "alt", "Endpoints": {"docker": {"Host": "unix:///run/docker.sock"}}}'],
        (),
        JSON,
        (),
        40,
    ),  # fmt: skip
    Target("samples.npz", of_file("samples.npz", samples), _samples, (), (zip_member,), share=20),
    Target(
        "predictions.npz",
        of_file("predictions.npz", found_on),
        predictions,
        (),
        (zip_member,),
        share=15,
    ),  # fmt: skip
    Target("outputs.npz", of_file("outputs.npz", outputs), _outputs, (), (zip_member,), share=20),
    Target("scored predictions", scored, predictions, (), (zip_member,), share=12),
)
