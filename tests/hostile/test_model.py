"""A model whose code does as it likes in its job: a process of ours, an environment, Docker."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cache import file_sha256
from harness.containers import CompletedJob, JobSpec, Mount, OnLine
from harness.containers.venv import VenvEngine
from harness.errors import StepFailed
from harness.formats import REGISTRY
from harness.monitor import state_file
from harness.records import Artifact, Cell, DeviceState, Image, ModelSpec, TensorSpec, Watched
from harness.runner.job import PROFILES, Answer, TrialAnswer
from harness.serial import dumps
from harness.steps.convert import convert
from harness.steps.infer import LoadedArtifact, infer
from harness.steps.jobs import JobLimits, Place
from harness.steps.measure import keep_trial, run_trial
from harness.store import read_samples

from .conftest import Host, one_line

CELL = Cell("m", "onnx", "fp32", "local")
LIMITS = JobLimits((0,), 2 << 30, 60.0)
STATE = DeviceState("2026-01-01T00:00:00Z", cores=2)
TRIAL = TrialAnswer(
    load_ms=1, first_ms=1, import_ms=1, settled=True, stopped_by="interval", warmup_s=1, loop_s=1,
    stages_s=1, process_s=4, peak_rss_bytes=1, os_threads=3, affinity=(0,), runtime_version="1",
    python_version="3.11", before=STATE, after=STATE,
)  # fmt: skip
#: every attack begins with what a job leaves that does as it is told
GOOD = """\
import base64, json, os, pathlib, socket, stat, sys
out, home, leaves = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), json.loads(sys.argv[3])
for name, data in leaves.items():
    (out / name).write_bytes(base64.b64decode(data))
def instead(name):
    (out / name).unlink(missing_ok=True)
    return out / name
"""


class Local:
    """Runs the attack as a process of this machine, with all that it may do."""

    name = "venv"

    def locate(self, mount: Mount) -> str:
        return str(mount.host)

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        done = subprocess.run(
            [sys.executable, *job.argv], capture_output=True, text=True, timeout=60, check=False
        )
        return CompletedJob(done.returncode, done.stdout + done.stderr, 0.1)


class Hostile:
    """An engine in which the model's code, `attack`, runs in the place of the runner."""

    def __init__(self, engine: Any, home: Path) -> None:
        self._engine, self._home, self.attack = engine, home, ""
        self.leaves: dict[str, bytes] = {}

    def locate(self, mount: Mount) -> str:
        where: str = self._engine.locate(mount)
        return where

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        out = self.locate(next(mount for mount in job.mounts if mount.writable))
        left = {name: base64.b64encode(data).decode() for name, data in self.leaves.items()}
        argv = ("-c", GOOD + self.attack, out, str(self._home), json.dumps(left))
        done: CompletedJob = self._engine.run(image, replace(job, argv=argv), on_line)
        return done


@pytest.fixture(scope="module")
def in_docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Image]]:
    from harness.containers.docker import DockerEngine

    engine = DockerEngine()
    yield engine, engine.build("tflite-runtime", tmp_path_factory.mktemp("image") / "log.txt")
    engine.close()


HERE = Image("tiny", "venv", sys.prefix, "sha256:aa", True, 0.0)
ENGINES = ["local", "venv", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(params=ENGINES)
def model(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> Model:
    engine: Any = Local()
    image = HERE
    if request.param == "venv":
        engine = VenvEngine()
    if request.param == "docker":
        engine, image = request.getfixturevalue("in_docker")
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
    return Model(host, Hostile(engine, host.home), image, tmp_path / "model")


class Model:
    """One model, and what bench does with it."""

    def __init__(self, host: Host, engine: Hostile, image: Image, folder: Path) -> None:
        self._host, self._engine, self._folder = host, engine, folder
        self.place = Place(engine, image)
        folder.mkdir()
        (folder / "w.pt").write_bytes(b"weights")
        (folder.parent / "pack").mkdir()
        self.spec = ModelSpec(
            "m", "detection", "n.py", "b", "w.pt", file_sha256(folder / "w.pt"),
            (TensorSpec("i", (1, 3, 8, 8)),), ("boxes", "scores"), ("card",),
        )  # fmt: skip

    def convert(self, attack: str, format: str = "onnx") -> Artifact:
        self._leave(attack, Answer(0.1, "1"))
        spec, source = REGISTRY[format].SPEC, self._folder
        if spec.suffix != ".openvino":
            self._engine.leaves[f"model{spec.suffix}"] = b"a converted model"
        return convert(self._host.cache, self.place, self.spec, source, spec, "fp32", LIMITS)

    def trial(self, attack: str) -> Path:
        """The trial's folder, with all that bench writes into it."""
        self._leave(attack, TRIAL)
        latency = np.full(80, 5_000_000, np.int64)
        self._engine.leaves["samples.npz"] = npz(latency_ns=latency, start_ns=np.cumsum(latency))
        pack = self._folder.parent / "pack"
        trial = run_trial(self._host.run, CELL, 0, self._loaded(), pack, PROFILES["quick"], LIMITS)
        folder = self._host.run / trial.folder
        state_file.write(folder / "state.jsonl", Watched())
        keep_trial(self._host.run, trial)
        read_samples(self._host.run, trial)
        return folder

    def infer(self, mode: Any, attack: str) -> Path:
        self._leave(attack, Answer(0.1, "1", 2))
        good = outputs() if mode == "outputs" else predictions()
        self._engine.leaves[f"{mode.replace('predict', 'predictions')}.npz"] = npz(**good)
        pack = self._folder.parent / "pack"
        return infer(self._host.cache, mode, self._loaded(), pack, 2, LIMITS)[0]

    def _leave(self, attack: str, answer: object) -> None:
        self._engine.attack = attack
        self._engine.leaves = {"result.json": dumps(answer).encode()}

    def _loaded(self) -> LoadedArtifact:
        artifact = self._host.cache / "artifacts" / "k" / "model.onnx"
        artifact.parent.mkdir(parents=True, exist_ok=True)
        artifact.write_bytes(b"a converted model")
        source = self._folder
        return LoadedArtifact(self.spec, source, "onnx", "fp32", artifact, "ab", self.place)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def npz_of(name: str, array: Any) -> bytes:
    """With a pickle in it."""
    file = io.BytesIO()
    np.savez(file, **{name: array})
    return file.getvalue()


def plain(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def outputs() -> dict[str, Any]:
    return {"boxes": np.ones((2, 3, 4), np.float32), "scores": np.ones((2, 3, 1), np.float32)}


def predictions() -> dict[str, Any]:
    return {
        "image_id": np.arange(2),
        "box": np.ones((2, 4), np.float32),
        "score": np.ones(2, np.float32),
        "label": np.zeros(2, np.int32),
        "image_size": np.array([(0, 8, 8), (1, 8, 8)]),
    }


def entries(cache: Path, kind: str) -> list[str]:
    """What the cache has of a kind, made by a job."""
    return [path.name for path in (cache / kind).glob("*") if path.name != "k"]


def test_a_model_that_does_nothing_wrong_is_converted_run_and_timed(model: Model) -> None:
    assert Path(model.convert("").path).read_bytes() == b"a converted model"
    ours = {"job.json", "state.jsonl", "trial.json"}
    left = {path.name for path in model.trial("(out / 'rubbish').touch()").iterdir()}
    assert left - {"log.txt"} == {*ours, "result.json", "samples.npz"}
    assert model.infer("outputs", "").name == "outputs.npz"
    assert model.infer("predict", "").name == "predictions.npz"


# ---- writing on the host -----------------------------------------------------------------------

OURS = ("trial.json", "state.jsonl", "state.jsonl.part", "log.txt", "job.json", "trial.json.part")


@pytest.mark.parametrize("name", OURS)
def test_a_link_in_the_place_of_a_file_that_bench_writes_is_not_followed(
    model: Model, name: str
) -> None:
    model.trial(f"instead({name!r}).symlink_to(home / '.profile')")


def test_a_link_in_the_place_of_the_folder_of_a_trial_is_not_followed(
    model: Model, host: Host
) -> None:
    """Where a job is not confined it can do more than that; bench itself does not help it."""
    attack = """
for name in ("trial.json", "state.jsonl"):
    os.symlink(home / ".profile", out / name)
os.symlink(home, out / "cells")
os.symlink(home, out / "trial-0")
"""
    model.trial(attack)


# ---- reading on the host -----------------------------------------------------------------------

LINK = "instead({name!r}).symlink_to(home / 'keys' / 'id_rsa')"
FOLDER = "instead({name!r}).symlink_to(home / 'keys')"
#: what is in the place of a file, and what is said of it
OTHERS = {
    LINK: "a symbolic link",
    FOLDER: "a symbolic link",
    "os.mkfifo(instead({name!r}))": "a pipe",
    "instead({name!r}).mkdir()": "a folder",
    "os.chdir(out); instead({name!r}); socket.socket(socket.AF_UNIX).bind({name!r})": "a socket",
    "(out / {name!r}).chmod(0o4755)": "a program that runs as another user (setuid)",
    "os.link(out / {name!r}, out / 'second')": "a hard link to another file",
}


@pytest.mark.parametrize("attack", [one for one in OTHERS if OTHERS[one] != "a folder"])
def test_a_converted_model_that_is_no_file_is_refused_and_not_cached(
    model: Model, host: Host, attack: str
) -> None:
    with pytest.raises(StepFailed) as caught:
        model.convert(attack.format(name="model.onnx"))
    wanted = f"model.onnx: is {OTHERS[attack]}; only regular files are taken over"
    assert one_line(caught.value) == wanted
    assert entries(host.cache, "artifacts") == []


@pytest.mark.parametrize("name", ["result.json", "samples.npz"])
@pytest.mark.parametrize("attack", OTHERS)
def test_a_trial_s_file_that_is_none_is_refused(model: Model, name: str, attack: str) -> None:
    with pytest.raises(StepFailed) as caught:
        model.trial(attack.format(name=name))
    wanted = f"{name}: is {OTHERS[attack]}; only regular files are taken over"
    assert one_line(caught.value) == wanted


@pytest.mark.parametrize("mode", ["outputs", "predict"])
@pytest.mark.parametrize("attack", [LINK, FOLDER])
def test_a_pass_s_file_that_is_a_link_is_refused_and_not_cached(
    model: Model, host: Host, mode: str, attack: str
) -> None:
    name = "outputs.npz" if mode == "outputs" else "predictions.npz"
    with pytest.raises(StepFailed, match=f"^{name}: is a symbolic link"):
        model.infer(mode, attack.format(name=name))
    assert entries(host.cache, mode) == []


def test_a_hard_link_to_a_private_file_is_refused(host: Host, tmp_path: Path) -> None:
    """Only where the job sees the file at all, as it does without a sandbox."""
    model = Model(host, Hostile(Local(), host.home), HERE, tmp_path / "model")
    try:
        with pytest.raises(StepFailed, match="^model.onnx: is a hard link to another file"):
            model.convert("os.link(home / 'keys' / 'id_rsa', instead('model.onnx'))")
    finally:
        assert host.private.stat().st_nlink == 1


#: what an engine says whose jobs cannot even write such a file
FSIZE = "the job exceeded the file size limit"
TREES = {
    "os.symlink(home / 'keys', tree / 'weights')": "weights: is a symbolic link",
    "os.symlink(home / 'keys' / 'id_rsa', tree / 'model.bin')": "model.bin: is a symbolic link",
    "os.symlink('..', tree / 'up')": "up: is a symbolic link",
    "os.mkfifo(tree / 'pipe')": "pipe: is a pipe",
    "(tree / 'a').write_text('x'); os.link(tree / 'a', tree / 'b')": "is a hard link",
    "[(tree / str(n)).touch() for n in range(10_001)]": "exceeds the limit of 10,000 files",
    "open(tree / 'big', 'w').truncate(1 << 40)": f"big: exceeds the limit|{FSIZE}",
    "(tree / 'x\\n\\x1b]0;a\\x07').symlink_to('/')": "x\\n\\x1b]0;a\\x07: is a symbolic link",
}  # fmt: skip


@pytest.mark.parametrize("attack", TREES)
def test_a_converted_folder_with_anything_but_files_is_refused_and_not_cached(
    model: Model, host: Host, attack: str
) -> None:
    made = "tree = out / 'model.openvino'; tree.mkdir(); (tree / 'model.xml').write_text('x')\n"
    with pytest.raises(StepFailed) as caught:
        model.convert(made + attack, "openvino")
    assert any(words in one_line(caught.value) for words in TREES[attack].split("|"))
    assert entries(host.cache, "artifacts") == []


DEEP = """
os.chdir(out)
os.mkdir('model.openvino')
os.chdir('model.openvino')
for n in range(3000):
    os.mkdir('d')
    os.chdir('d')
"""


def test_a_folder_deeper_than_any_stack_is_refused_and_removed(model: Model, host: Host) -> None:
    with pytest.raises(StepFailed, match="^d: more than 32 folders deep$"):
        model.convert(DEEP, "openvino")
    assert [path.name for path in host.cache.rglob("d")] == []


def test_a_folder_that_nobody_may_open_is_removed(model: Model, host: Host) -> None:
    attack = "(out / 'a' / 'b').mkdir(parents=True); (out / 'a' / 'b' / 'c').touch()\n"
    attack += "(out / 'a' / 'b').chmod(0); (out / 'a').chmod(0); out.chmod(0o700)"
    folder = model.trial(attack)
    assert not (folder / "out").exists()


def test_modes_are_harmless(model: Model) -> None:
    path = Path(model.convert("(out / 'model.onnx').chmod(0o777)").path)
    assert path.stat().st_mode & 0o7777 == 0o755


def test_a_file_of_a_terabyte_without_content_is_refused_at_once(model: Model) -> None:
    began = time.monotonic()
    with pytest.raises(
        StepFailed, match=f"^result.json: exceeds the limit of 4,194,304 bytes|^{FSIZE}"
    ):
        model.trial("with open(out / 'result.json', 'ab') as file: file.truncate(1 << 40)")
    assert time.monotonic() - began < 20


def test_what_was_cached_before_as_a_link_is_refused(model: Model, host: Host) -> None:
    made = Path(model.convert("").path)
    made.unlink()
    made.symlink_to(host.private)
    try:
        with pytest.raises(StepFailed, match="is a symbolic link; only regular files are"):
            model.convert("")
    finally:
        made.unlink()


# ---- malformed content -------------------------------------------------------------------------

ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "a number of 400 digits": b'{"seconds": 1' + b"0" * 400 + b', "runtime_version": "1"}',
    "a number of 5000 digits": b'{"seconds": 1' + b"0" * 5000 + b', "runtime_version": "1"}',
    "infinity": b'{"seconds": 1e999, "runtime_version": "1"}',
    "NaN": b'{"seconds": NaN, "runtime_version": "1"}',
    "half a pair": b'{"seconds": 1, "runtime_version": "\\ud800"}',
    "half a pair in bytes": b'{"seconds": 1, "runtime_version": "\xed\xa0\x80"}',
    "no UTF-8": b'{"seconds": 1, "runtime_version": "\xff"}',
    "UTF-16": '{"seconds": 1, "runtime_version": "1"}'.encode("utf-16"),
    "depth": b"[" * 100_000,
    "some depth": b'{"seconds": ' + b"[" * 900 + b"]" * 900 + b"}",
    "control characters": b'{"seconds": "\x1b]0;title\x07"}',
    "a wrong type": b'{"seconds": true, "runtime_version": {}}',
    "size": b'{"seconds": 1, "runtime_version": "' + b"x" * (5 << 20) + b'"}',
}


@pytest.mark.parametrize("content", ANSWERS)
def test_an_answer_that_is_malformed_is_one_line_and_not_cached(
    host: Host, tmp_path: Path, content: str
) -> None:
    model = Model(
        host, Hostile(Writing("result.json", ANSWERS[content]), host.home), HERE, tmp_path / "model"
    )
    with pytest.raises(StepFailed) as caught:
        model.convert("")
    assert "result.json" in one_line(caught.value)
    assert entries(host.cache, "artifacts") == []


def bomb() -> bytes:
    """Zeros for a terabyte, as its header says, in a file of 300 bytes."""
    return npz(latency_ns=np.zeros(3, np.int64)).replace(b"(3,)", b"(1" + b"0" * 12 + b",)")[:300]


ARRAYS: dict[str, bytes] = {
    "nothing": b"",
    "a plain array": plain(np.arange(5)),
    "objects": npz_of("latency_ns", np.array([print], object)),
    "another name": npz(x=np.arange(5)),
    "one more": npz(latency_ns=np.arange(5), start_ns=np.arange(5), x=np.arange(5)),
    "a single value": npz(latency_ns=np.int64(5), start_ns=np.int64(5)),
    "no samples": npz(latency_ns=np.arange(0), start_ns=np.arange(0)),
    "fractions": npz(latency_ns=np.ones(5), start_ns=np.ones(5)),
    "other lengths": npz(latency_ns=np.arange(5), start_ns=np.arange(6)),
    "a terabyte": bomb(),
}


@pytest.mark.parametrize("content", ARRAYS)
def test_samples_that_are_malformed_are_one_line_and_no_trial(
    host: Host, tmp_path: Path, content: str
) -> None:
    engine = Hostile(Writing("samples.npz", ARRAYS[content]), host.home)
    model = Model(host, engine, HERE, tmp_path / "model")
    with pytest.raises(StepFailed) as caught:
        model.trial("")
    assert one_line(caught.value).startswith("trial job: ")
    assert "trial-0/samples.npz: " in caught.value.message
    assert list(host.run.rglob("trial.json")) == []


class Writing(Local):
    """Leaves one more file."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name, self._data = name, data

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        done = super().run(image, job, on_line)
        out = next(mount.host for mount in job.mounts if mount.writable)
        (out / self._name).write_bytes(self._data)
        return done
