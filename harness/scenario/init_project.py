"""`bench init`: the starter files of a new project, with comments."""

from __future__ import annotations

import json
from pathlib import Path

from .. import metrics, tasks
from ..errors import UsageError
from ..workspace import MARK
from .config import schema

SCENARIO = """\
# yaml-language-server: $schema=schema.json
# What to run: model x format x precision x device. `bench plan scenarios/mine.yaml` shows it.
name: mine
models: [mine]                       # folders in models/
formats: [pytorch, torchscript, onnx, openvino, tflite]
precisions: [fp32, fp16, int8]       # unsupported ones are skipped, with the reason
devices: [local]                     # files in devices/, or label:NAME
matrix: {threads: [1]}               # one cell for each
# exclude: ["*-int8-*"]              # globs on cell ids, such as mine-onnx-int8-local-t1-b1
measure: {profile: quick}            # quick | full
accuracy: {dataset: mine-val}        # a dataset of the model; omit to skip scoring
# gates: {GATE: 0.01, p50_ms: 40, size_mb: 10}   # a failed gate sets exit code 1
"""

MODEL = """\
# Your model. Paths are relative to this folder.
task: {task}          # {tasks}
module: network.py                   # Python file with the architecture; imports torch only
function: build                      # function in it that returns the torch.nn.Module
weights: weights.pt                  # a state dict, read with torch.load(weights_only=True)
sha256: "{zeros}"                    # sha256sum weights.pt
input: {{name: images, shape: [1, 3, 320, 320]}}
outputs: [boxes, scores, coeffs, protos]   # names of forward()'s outputs, in order
classes: [thing]
options: {{score_threshold: 0.25, nms_iou: 0.7}}
datasets:
  mine-val: data/val                 # COCO, YOLO, VOC, CSV or class folders: docs/how-to/dataset.md
"""

PROJECT = """\
# Marks this folder as a bench project: runs/ and reports/ are written here.
"""

DEVICE = """\
# This machine.
kind: linux
transport: local
labels: [host]
"""


#: what the model of a new project does
TASK = "instance-segmentation"


def scenario() -> str:
    """The scenario, with a gate on the task's headline metric."""
    metric = metrics.REGISTRY[tasks.REGISTRY[TASK].METRIC]
    return SCENARIO.replace("GATE", metric.SPEC.headline.change_gate)


def model() -> str:
    """model.yaml, with placeholders for the weights."""
    return MODEL.format(zeros="0" * 64, task=TASK, tasks=" | ".join(tasks.REGISTRY))


def write(folder: Path) -> list[Path]:
    """Write the starter files and return them; raises UsageError rather than overwrite one."""
    files = {
        folder / MARK: PROJECT,
        folder / "scenarios" / "mine.yaml": scenario(),
        folder / "scenarios" / "schema.json": json.dumps(schema(), indent=2) + "\n",
        folder / "models" / "mine" / "model.yaml": model(),
        folder / "devices" / "local.yaml": DEVICE,
    }
    there = [path for path in files if path.exists()]
    if there:
        raise UsageError(f"{there[0]}: already exists", "Name a new folder.")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror or error}",
            "Name a writable folder.",
        ) from None
    return list(files)
