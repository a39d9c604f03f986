"""Models that are files and not PyTorch: the same network from each kind of file, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1500)]

MODEL = """\
task: instance-segmentation
source: {name}
input: {{name: images, shape: [1, 3, 320, 320]}}
outputs: [boxes, scores, coeffs, protos]
classes: [card]
options: {{score_threshold: 0.25, accuracy_score_threshold: 0.01, nms_iou: 0.6, max_detections: 99}}
datasets: {{rio-val: {data}}}
"""
SCENARIO = """\
models: [from-onnx, from-tflite, from-torchscript]
formats: [pytorch, torchscript, onnx, openvino, tflite]
precisions: [fp32, fp16]
exclude: ["from-t*-fp16-*", "from-onnx-tflite-*"]   # onnx2tf is slow: see the scenario below
measure: {profile: smoke}
accuracy: {dataset: rio-val, images: 16}
"""
BOTH_WAYS = """\
models: [rio]
formats: [savedmodel, tflite, tflite@onnx2tf]
measure: {profile: smoke}
accuracy: {dataset: rio-val, images: 16}
"""
#: what each kind of file leads to
REACHED = {
    "from-onnx": {"onnx", "openvino"},
    "from-tflite": {"onnx", "tflite", "openvino"},
    "from-torchscript": {"torchscript", "openvino"},
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> list[dict[str, Any]]:
    """RIO, converted to three kinds of files, each of which is then a model of its own."""
    folder = tmp_path_factory.mktemp("sources")
    project = Project(folder, cache)
    for kind in ("onnx", "tflite", "torchscript"):
        home = folder / "models" / f"from-{kind}"
        home.mkdir(parents=True)
        made = home / f"card.{kind}"
        done = project.bench("convert", "rio", "-f", kind, "-o", str(made))
        assert done.returncode == 0, done.stderr
        data = ROOT / "models/rio/data/val"
        (home / "model.yaml").write_text(MODEL.format(name=made.name, data=data))
    done = project.bench("run", project.scenario("sources", SCENARIO), "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    return project.rows()


def test_every_format_that_a_route_leads_to_is_measured_and_right(
    rows: list[dict[str, Any]],
) -> None:
    for model, formats in REACHED.items():
        own = [row for row in rows if row["model"] == model and row["status"] == "ok"]
        assert {row["format"] for row in own} == formats
        assert all(row["parity_ok"] for row in own)
        assert all(row["map50_95"] == pytest.approx(0.78, abs=0.1) for row in own)


def test_the_others_are_skipped_and_say_why(rows: list[dict[str, Any]]) -> None:
    skipped = {(r["model"], r["format"]): r["reason"] for r in rows if r["status"] == "skipped"}
    assert skipped["from-onnx", "pytorch"] == (
        "no conversion leads from ONNX Runtime to PyTorch, which is made from PyTorch"
    )
    assert skipped["from-torchscript", "onnx"] == (
        "no conversion leads from TorchScript to ONNX Runtime, which is made from PyTorch, "
        "ONNX Runtime, TF SavedModel, TFLite (LiteRT)"
    )


def test_a_pytorch_model_becomes_a_savedmodel_and_tflite_in_two_ways(
    tmp_path: Path, cache: Path
) -> None:
    project = Project(tmp_path, cache)
    done = project.bench("run", project.scenario("both", BOTH_WAYS), "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {row["format"]: row for row in project.rows()}
    assert {name: row["route"] for name, row in found.items()} == {
        "savedmodel": "onnx (torch.onnx) > savedmodel (onnx2tf)",
        "tflite": "tflite (litert-torch)",
        "tflite@onnx2tf": "onnx (torch.onnx) > savedmodel (onnx2tf) > tflite (tf.lite)",
    }
    assert all(row["status"] == "ok" and row["parity_ok"] for row in found.values())
    assert all(row["parity_max_abs"] < 1e-3 for row in found.values())
    assert all(row["map50_95"] == pytest.approx(0.78, abs=0.1) for row in found.values())
    assert found["tflite"]["artifact_sha256"] != found["tflite@onnx2tf"]["artifact_sha256"]
