from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.records import ModelSpec, TensorSpec
from harness.tasks import REGISTRY
from harness.tasks.classification import MEAN, STD

SPEC = ModelSpec(
    name="dogs",
    task="classification",
    module="network.py",
    function="load",
    weights="weights.pt",
    weights_sha256="",
    input=TensorSpec("images", (1, 3, 28, 28)),
    outputs=("logits",),
    classes=("dog", "cat", "fox"),
    task_options={"normalise": "none", "resize": 32},
)
TASK = REGISTRY["classification"]


def test_the_centre_of_the_resized_picture_is_cropped() -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[4:60, 36:92] = 255  # the middle 28 x 28 after halving
    tensor, geometry = TASK.preprocess(image, SPEC)
    assert tensor.shape == (1, 3, 28, 28)
    assert (tensor == 1).all()
    assert (geometry.left, geometry.top) == (-18, -2)


def test_imagenet_normalisation_is_the_default() -> None:
    image = np.full((40, 40, 3), 255, np.uint8)
    tensor, _ = TASK.preprocess(image, replace(SPEC, task_options={}))
    wanted = (1 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(tensor[0, :, 5, 5], wanted, rtol=1e-5)


def test_the_best_classes_come_with_their_softmax() -> None:
    _, geometry = TASK.preprocess(np.zeros((40, 50, 3), np.uint8), SPEC)
    logits = np.array([[1.0, 3.0, 2.0]], np.float32)
    found = TASK.postprocess({"logits": logits}, geometry, SPEC, score_threshold=0)
    assert found.labels.tolist() == [1, 2, 0]
    assert found.scores.sum() == pytest.approx(1)
    assert found.scores[0] == pytest.approx(np.exp(3) / np.exp([1, 2, 3]).sum())
    assert found.boxes.tolist() == [[0, 0, 50, 40]] * 3
    assert found.masks is None


def test_top_k_and_threshold_limit_the_classes() -> None:
    _, geometry = TASK.preprocess(np.zeros((40, 50, 3), np.uint8), SPEC)
    outputs = {"logits": np.array([[1000.0, -1000.0, 999.0]], np.float32)}
    spec = replace(SPEC, task_options={**SPEC.task_options, "top_k": 2})
    assert len(TASK.postprocess(outputs, geometry, spec, score_threshold=0)) == 2
    assert len(TASK.postprocess(outputs, geometry, spec, score_threshold=0.5)) == 1
