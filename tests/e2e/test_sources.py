"""RIO as an ONNX file, and its routes to TensorFlow; test_conversions.py has every conversion."""

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
models: [card]
formats: [pytorch, onnx, openvino]
precisions: [fp32, fp16]
measure: {profile: smoke}
accuracy: {dataset: rio-val, images: 16}
"""
BOTH_WAYS = """\
models: [rio]
formats: [savedmodel, tflite, tflite@onnx2tf]
measure: {profile: smoke}
accuracy: {dataset: rio-val, images: 16}
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> list[dict[str, Any]]:
    """RIO, exported to ONNX, which is then a model of its own."""
    folder = tmp_path_factory.mktemp("sources")
    project = Project(folder, cache)
    home = folder / "models" / "card"
    home.mkdir(parents=True)
    done = project.bench("convert", "rio", "-f", "onnx", "-o", str(home / "card.onnx"))
    assert done.returncode == 0, done.stderr
    data = ROOT / "models/rio/data/val"
    (home / "model.yaml").write_text(MODEL.format(name="card.onnx", data=data))
    done = project.bench("run", project.scenario("sources", SCENARIO), "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    return project.rows()


def test_every_format_that_a_route_leads_to_is_measured_and_right(
    rows: list[dict[str, Any]],
) -> None:
    measured = [row for row in rows if row["status"] == "ok"]
    assert {(row["format"], row["precision"]) for row in measured} == {
        (format, precision) for format in ("onnx", "openvino") for precision in ("fp32", "fp16")
    }
    assert all(row["parity_ok"] for row in measured)
    assert all(row["map50_95"] == pytest.approx(0.78, abs=0.1) for row in measured)


def test_the_others_are_skipped_and_say_why(rows: list[dict[str, Any]]) -> None:
    assert {(r["format"], r["reason"]) for r in rows if r["status"] == "skipped"} == {
        (
            "pytorch",
            "no conversion leads from ONNX Runtime to PyTorch, which is made from PyTorch",
        )
    }


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
