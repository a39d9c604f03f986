"""A project in a temporary folder, and the real command in a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.records import DeviceSpec
from harness.scenario.config import read_device
from harness.transports import Transport, connect

#: a shell's background jobs start with Ctrl-C ignored; the lab and the containers are to be ended
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[2]
BENCH = Path(sys.executable).with_name("bench")


@dataclass(frozen=True)
class Project:
    """A folder with scenarios and models; `bench` runs there with a cache of its own."""

    folder: Path
    cache: Path

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """The command, running, in a process group of its own."""
        return subprocess.Popen(
            [str(BENCH), *argv],
            cwd=self.folder,
            env={**os.environ, "BENCH_CACHE": str(self.cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def bench(self, *argv: str, timeout_s: float = 1500) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        with self.start(*argv) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def scenario(self, name: str, text: str) -> str:
        """Write scenarios/<name>.yaml; its path as typed."""
        path = self.folder / "scenarios" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name: {name}\n{text}")
        return f"scenarios/{name}.yaml"

    def runs(self) -> list[Path]:
        """Run folders, oldest first."""
        return sorted(path.parent for path in (self.folder / "runs").glob("*/run.json"))

    def rows(self) -> list[dict[str, Any]]:
        """`bench export --format json` of the latest run."""
        done = self.bench("export", "latest", "--format", "json")
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def events(self, run: Path) -> list[dict[str, Any]]:
        """A run's events.jsonl."""
        return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all end-to-end tests; environments of the user's own cache are used again."""
    folder = tmp_path_factory.mktemp("cache")
    shared = Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench") / "venvs"
    shared.mkdir(parents=True, exist_ok=True)
    (folder / "venvs").symlink_to(shared)
    bundles = shared.with_name("bundles")
    bundles.mkdir(parents=True, exist_ok=True)
    (folder / "bundles").symlink_to(bundles)
    return folder


@pytest.fixture
def project(tmp_path: Path, cache: Path) -> Project:
    (tmp_path / "scenarios").mkdir()
    return Project(tmp_path, cache)


@dataclass(frozen=True)
class Lab:
    """`bench lab`, up; its devices are lab-phone, lab-jetson and lab-host."""

    cache: Path

    def bench(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """`bench lab …` to its end."""
        env = {**os.environ, "BENCH_CACHE": str(self.cache)}
        command = [str(BENCH), "lab", *argv]
        return subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=600, check=False
        )

    def spec(self, name: str) -> DeviceSpec:
        """From the file that `bench lab up` has written."""
        return read_device(self.cache / "lab" / "devices" / f"lab-{name}.yaml")

    def connect(self, name: str) -> Transport:
        return connect(self.spec(name))

    def fault(self, device: str, name: str, value: str = "") -> str:
        """`bench lab fault`, which must be obeyed; what it says."""
        done = self.bench("fault", device, name, *([value] if value else []))
        assert done.returncode == 0, done.stderr
        return done.stdout


def lab_in(cache: Path) -> Lab:
    """A lab that is down; roots and package lists of the user's own cache are used again."""
    shared = Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench") / "lab"
    (cache / "lab").mkdir(parents=True)
    for name in ("roots", "apt"):
        (shared / name).mkdir(parents=True, exist_ok=True)
        (cache / "lab" / name).symlink_to(shared / name)
    return Lab(cache)


@pytest.fixture(scope="session")
def lab(cache: Path) -> Iterator[Lab]:
    """All three devices, up for the whole session; needs root."""
    made = lab_in(cache)
    done = made.bench("up")
    try:
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        down = made.bench("down")
        assert down.returncode == 0, down.stderr


def wait_for(condition: Callable[[], bool], timeout_s: float = 300) -> None:
    """Poll until it holds; fails after the time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def containers(project: Project) -> list[str]:
    """Names of bench's containers that are there now for this project or its cache."""
    import docker

    client = docker.from_env()
    try:
        found = client.api.containers(all=True, filters={"label": "bench.owner"})
    finally:
        client.close()
    ours = (str(project.folder), str(project.cache))
    return [
        one["Names"][0]
        for one in found
        if any(mount.get("Source", "").startswith(ours) for mount in one["Mounts"])
    ]


TINY_NETWORK = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 16, stride=16)
    def forward(self, images):
        raw = self.conv(images).flatten(2).transpose(1, 2)
        centre = torch.sigmoid(raw[..., :2]) * 32
        size = torch.sigmoid(raw[..., 2:4]) * 16
        return torch.cat((centre - size, centre + size), -1), torch.sigmoid(raw[..., 4:])

def build():
    {first}
    return Tiny()
"""

TINY_MODEL = """\
task: detection
weights: weights.pt
sha256: "{sha}"
input: {{name: images, shape: [1, 3, 32, 32]}}
outputs: [boxes, scores]
classes: [card]
datasets: {{val: {data}}}
"""


@pytest.fixture
def tiny(project: Project) -> Callable[..., str]:
    """Writes a small model `tiny` and a scenario of it; keyword arguments break something."""
    import hashlib

    def write(
        first: str = "pass",
        weights: bytes | None = None,
        measure: str = "{trials: 1}",
        formats: str = "[pytorch]",
        data: Path = ROOT / "models/rio/data/val",
        sha: str | None = None,
    ) -> str:
        folder = project.folder / "models" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "network.py").write_text(TINY_NETWORK.replace("{first}", first))
        content = weights if weights is not None else (ROOT / "tests/data/tiny.pt").read_bytes()
        (folder / "weights.pt").write_bytes(content)
        vouched = sha or hashlib.sha256(content).hexdigest()
        (folder / "model.yaml").write_text(TINY_MODEL.format(sha=vouched, data=data))
        return project.scenario("tiny", f"models: [tiny]\nformats: {formats}\nmeasure: {measure}\n")

    return write
