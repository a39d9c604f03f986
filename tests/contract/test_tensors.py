"""Tensors of any shape, type and layout through real runtimes, each in its format's image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import formats
from harness.containers import ContainerEngine, JobSpec, Mount
from harness.containers.docker import DockerEngine
from harness.payload import payload

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("tensors_in_runtimes.py")
#: images that make files come first
FORMATS = ("onnx", "tflite", "openvino", "pytorch", "torchscript")

Found = dict[str, dict[str, Any]]


def run(engine: ContainerEngine, folder: Path, name: str) -> dict[str, Any]:
    """What the script found in the image of a format."""
    image = engine.build(formats.REGISTRY[name].SPEC.image, folder / f"build-{name}.log")
    mount = Mount(folder / "work", "/job", writable=True)
    ours = Mount(payload().folder, "/bench")
    there = engine.locate(mount)
    job = JobSpec(
        (f"{there}/{SCRIPT.name}", there, name),
        folder / f"log-{name}.txt",
        (mount, ours),
        env={"PYTHONPATH": engine.locate(ours)},
    )
    done = engine.run(image, job)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((folder / "work" / f"found-{name}.json").read_text())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("tensors")
    (folder / "work").mkdir()
    shutil.copyfile(SCRIPT, folder / "work" / SCRIPT.name)
    engine = DockerEngine()
    try:
        yield {name: run(engine, folder, name) for name in FORMATS}
    finally:
        engine.close()
