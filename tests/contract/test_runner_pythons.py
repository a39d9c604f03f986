"""The runner measures on every Python from 3.8 to 3.13 that is here, with numpy and one runtime."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.containers import CompletedJob, JobSpec, Mount, OnLine
from harness.records import Cell, Image, ModelSpec, TensorSpec
from harness.runner.job import PROFILES, TrialAnswer
from harness.serial import loads
from harness.steps import datasets
from harness.steps.infer import LoadedArtifact
from harness.steps.jobs import JobLimits, Place, pinned
from harness.steps.measure import run_trial

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
#: the newest onnxruntime and numpy of each
RUNTIMES = {"3.8": ("onnxruntime==1.19.2", "numpy==1.24.4")}
NEWEST = ("onnxruntime", "numpy")

pytestmark = [pytest.mark.slow]


@functools.cache
def pythons() -> dict[str, str]:
    """Version -> program, of those on the PATH and below pyenv that really start."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for version in VERSIONS:
        name = f"python{version}"
        for program in (name, *map(str, versions.glob(f"{version}.*/bin/{name}"))):
            asked = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
            try:
                done = subprocess.run(
                    [program, "-c", asked], capture_output=True, text=True, check=False
                )
            except FileNotFoundError:
                continue
            if done.stdout.strip() == version:
                found[version] = program
                break
    return found


class PythonEngine:
    """Runs a job with one interpreter, where the mounts are."""

    def __init__(self, python: Path) -> None:
        self._python = python

    def locate(self, mount: Mount) -> str:
        return str(mount.host)

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        began = time.monotonic()
        done = subprocess.run(
            [str(self._python), *job.argv],
            env={**job.env, "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=job.timeout_s,
        )  # fmt: skip
        return CompletedJob(done.returncode, done.stdout, time.monotonic() - began)


@pytest.fixture(scope="module", params=sorted(pythons()))
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    version = str(request.param)
    folder = tmp_path_factory.mktemp(f"python{version}")
    subprocess.run([pythons()[version], "-m", "venv", str(folder)], check=True)
    made = folder / "bin" / "python"
    wanted = RUNTIMES.get(version, NEWEST)
    pip = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--only-binary", ":all:", *wanted], check=True)
    return made


def test_python_here_is_one_of_those_that_are_tested() -> None:
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in pythons()


def test_a_trial_is_measured_and_says_with_what(python: Path, tmp_path: Path) -> None:
    spec = ModelSpec(
        name="tiny", task="detection", module="network.py", function="build",
        weights="weights.pt", weights_sha256="", inputs=(TensorSpec("images", (1, 3, 32, 32)),),
        outputs=("boxes", "scores"), classes=("card",),
    )  # fmt: skip
    data = datasets.read(ROOT / "models/rio/data/val")
    pack = datasets.pack(data, tmp_path / "packs", datasets.evenly(len(data.images), 4))
    image = Image("onnx", "venv", "", "", cached=True, seconds=0.0)
    artifact, place = ROOT / "tests/data/tiny.onnx", Place(PythonEngine(python), image)
    loaded = LoadedArtifact(spec, tmp_path, "onnx", "fp32", artifact, "", place)
    cell = Cell("tiny", "onnx", "fp32", "local", 1)
    limits = JobLimits(pinned(1), 4 << 30, 120.0)
    trial = run_trial(tmp_path, cell, 0, loaded, pack, PROFILES["smoke"], limits)
    samples = np.load(tmp_path / trial.folder / "samples.npz")["latency_ns"]
    assert len(samples) >= 8
    assert (samples > 0).all()
    answer = loads(TrialAnswer, (tmp_path / trial.folder / "result.json").read_bytes())
    said = subprocess.run([str(python), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.split()[1] == answer.python_version
