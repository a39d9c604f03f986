from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.records import ModelSpec, TensorSpec
from harness.tasks import REGISTRY
from harness.tasks.classification import MEAN, STD, postprocess, preprocess
from harness.tasks.letterbox import Geometry

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


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.99])
@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_the_best_class_is_kept_however_improbable(threshold: float, scale: float) -> None:
    logits = (scale * np.arange(300) / 299).astype(np.float32)
    spec = replace(SPEC, outputs=("logits",))
    geometry = Geometry(8, 8, 1.0, 1.0, 0.0, 0.0)
    for values in (logits, np.exp(logits) / np.exp(logits).sum()):
        found = postprocess({"logits": values[None]}, geometry, spec, score_threshold=threshold)
        assert found.labels[0] == int(np.argmax(values))
        np.testing.assert_allclose(
            found.scores[0], np.exp(logits.max()) / np.exp(logits).sum(), rtol=1e-5
        )


def test_logits_that_are_no_numbers_have_no_best_class() -> None:
    values = {"logits": np.full((1, 5), np.nan, np.float32)}
    spec = replace(SPEC, outputs=("logits",))
    geometry = Geometry(8, 8, 1.0, 1.0, 0.0, 0.0)
    assert len(postprocess(values, geometry, spec, score_threshold=0.0)) == 0


@pytest.mark.parametrize("shape", [(1, 3, 48, 64), (1, 3, 64, 48), (1, 3, 56, 56)])
def test_any_input_is_filled_by_the_middle_of_the_image(shape: tuple[int, ...]) -> None:
    spec = replace(SPEC, input=TensorSpec("i", shape), task_options={"normalise": "none"})
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:80, 60:140] = 255
    tensor, geometry = preprocess(image, spec)
    assert tensor.shape == shape
    assert tensor[0, 0, shape[2] // 2, shape[3] // 2] == 1.0
    assert geometry.scale_x == geometry.scale_y
