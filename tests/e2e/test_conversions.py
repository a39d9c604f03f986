"""Every conversion that bench has, of one small network in each kind of file; each is measured.

`UPDATE_VERIFIED=1` writes harness/formats/verified.json from what this run has shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, TINY_MODEL, TINY_NETWORK, Project

from harness.containers import JobSpec, Mount, choose
from harness.formats import routes
from harness.formats.routes import VERIFIED

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1500)]

DATA = ROOT / "models/rio/data/val"
MODEL = """\
task: detection
source: {name}
input: {{name: images, shape: [1, 3, 32, 32]}}
outputs: [boxes, scores]
classes: [card]
datasets: {{val: {data}}}
"""
#: kind of file -> the formats that are made from it in one step
FORMATS = {
    "pytorch": ("pytorch", "torchscript", "onnx", "openvino", "tflite"),
    "torchscript": ("torchscript", "openvino"),
    "onnx": ("onnx", "openvino", "savedmodel"),
    "tflite": ("tflite", "openvino", "onnx"),
    "savedmodel": ("savedmodel", "openvino", "onnx", "tflite"),
    "keras": ("keras", "savedmodel"),
    "frozen": ("frozen", "savedmodel"),
}
#: the same network, of Keras' layers, and of the operators of a TensorFlow 1 graph
KERAS = """
    import keras
    images = keras.Input((3, 32, 32), batch_size=1, name="images")
    raw = keras.layers.Conv2D(5, 16, strides=16)(keras.layers.Permute((2, 3, 1))(images))
    raw = keras.ops.sigmoid(keras.layers.Reshape((4, 5))(raw))
    centre, size = raw[..., :2] * 32, raw[..., 2:4] * 16
    boxes = keras.ops.concatenate((centre - size, centre + size), -1)
    keras.Model(images, [boxes, raw[..., 4:]]).save({out!r})
"""
FROZEN = """
    import numpy, tensorflow
    v1 = tensorflow.compat.v1
    weights = numpy.random.default_rng(0).normal(0, 0.1, (16, 16, 3, 5)).astype("float32")
    with v1.Graph().as_default() as graph:
        images = v1.placeholder("float32", (1, 3, 32, 32), "images")
        raw = v1.nn.conv2d(v1.transpose(images, (0, 2, 3, 1)), weights, 16, "VALID")
        raw = v1.sigmoid(v1.reshape(raw, (1, 4, 5)))
        centre, size = raw[..., :2] * 32, raw[..., 2:4] * 16
        v1.concat((centre - size, centre + size), -1, "boxes")
        v1.identity(raw[..., 4:], "scores")
    with open({out!r}, "wb") as file:
        file.write(graph.as_graph_def().SerializeToString())
"""
MADE_BY_TENSORFLOW = {"keras": ("tiny.keras", KERAS), "frozen": ("tiny.pb", FROZEN)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> list[dict[str, Any]]:
    project = Project(tmp_path_factory.mktemp("conversions"), cache)
    models = project.folder / "models"
    write_network(models / "pytorch")
    for kind in ("torchscript", "onnx", "tflite", "savedmodel"):
        out = models / kind / f"tiny.{kind}"
        out.parent.mkdir()
        done = project.bench("convert", "pytorch", "-f", kind, "-o", str(out))
        assert done.returncode == 0, done.stderr
    for kind, (name, code) in MADE_BY_TENSORFLOW.items():
        make(models / kind / name, code)
    for kind in FORMATS:
        if kind != "pytorch":
            (name,) = (path.name for path in (models / kind).iterdir())
            (models / kind / "model.yaml").write_text(MODEL.format(name=name, data=DATA))
    done = project.bench("run", project.scenario("conversions", scenario()), "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    return project.rows()


def write_network(folder: Path) -> None:
    folder.mkdir(parents=True)
    content = (ROOT / "tests/data/tiny.pt").read_bytes()
    (folder / "network.py").write_text(TINY_NETWORK.replace("{first}", "pass"))
    (folder / "weights.pt").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / "model.yaml").write_text(TINY_MODEL.format(sha=sha256, data=DATA))


def make(path: Path, code: str) -> None:
    """Run a program in the image that has TensorFlow."""
    path.parent.mkdir()
    engine = choose("auto")
    try:
        image = engine.build("savedmodel", path.parents[2] / "build.log")
        mount = Mount(path.parent, "/out", writable=True)
        program = textwrap.dedent(code.format(out=f"{engine.locate(mount)}/{path.name}"))
        log = path.parents[2] / f"{path.name}.log"
        done = engine.run(image, JobSpec(("-c", program), log, mounts=(mount,), timeout_s=300))
        assert done.exit_code == 0, done.output
    finally:
        engine.close()


def scenario() -> str:
    formats = dict.fromkeys(format for made in FORMATS.values() for format in made)
    excluded = [
        f"{kind}-{format}-*"
        for kind, made in FORMATS.items()
        for format in formats
        if format not in made
    ]
    lists = {"models": list(FORMATS), "formats": list(formats), "exclude": excluded}
    return "measure: {profile: smoke}\n" + "".join(
        f"{key}: {json.dumps(values)}\n" for key, values in lists.items()
    )


def edges(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Of `onnx (torch.onnx) > savedmodel (onnx2tf)`: source, format and tool of each step."""
    steps = re.findall(r"([\w-]+) \(([^)]+)\)", row["route"])
    sources = [row["model"], *(format for format, _ in steps)]
    return [(source, *step) for source, step in zip(sources, steps, strict=False)]


def test_every_conversion_is_right_and_the_table_says_so(rows: list[dict[str, Any]]) -> None:
    assert {(r["model"], r["format"], r["status"], r["parity_ok"]) for r in rows} == {
        (kind, format, "ok", True) for kind, made in FORMATS.items() for format in made
    }
    listed = routes.table(routes.specs())
    shown = {edge for row in rows for edge in edges(row)}
    found = [
        {
            "source": one.source,
            "format": one.format,
            "tool": one.tool,
            "lock_sha256": hashlib.sha256(
                (ROOT / "dockerfiles" / one.image / "requirements.lock").read_bytes()
            ).hexdigest(),
        }
        for one in listed
        if (one.source, one.format, one.tool) in shown
    ]
    if os.environ.get("UPDATE_VERIFIED"):
        VERIFIED.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(VERIFIED.read_text())
