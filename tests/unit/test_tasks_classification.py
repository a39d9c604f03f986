from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.records import ModelSpec, TensorSpec
from harness.tasks import REGISTRY
from harness.tasks.classification import postprocess, preprocess
from harness.tasks.inputs import MEAN, STD
from harness.tasks.letterbox import Geometry

SPEC = ModelSpec(
    name="dogs",
    task="classification",
    module="network.py",
    function="load",
    weights="weights.pt",
    weights_sha256="",
    inputs=(TensorSpec("images", (1, 3, 28, 28)),),
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


def test_the_best_k_are_there_whatever_the_threshold() -> None:
    _, geometry = TASK.preprocess(np.zeros((40, 50, 3), np.uint8), SPEC)
    outputs = {"logits": np.array([[1000.0, -1000.0, 999.0]], np.float32)}
    spec = replace(SPEC, task_options={**SPEC.task_options, "top_k": 2})
    assert len(TASK.postprocess(outputs, geometry, spec, score_threshold=0)) == 2
    assert len(TASK.postprocess(outputs, geometry, spec, score_threshold=0.5)) == 2


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
    spec = replace(SPEC, inputs=(TensorSpec("i", shape),), task_options={"normalise": "none"})
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:80, 60:140] = 255
    tensor, geometry = preprocess(image, spec)
    assert tensor.shape == shape
    assert tensor[0, 0, shape[2] // 2, shape[3] // 2] == 1.0
    assert geometry.scale_x == geometry.scale_y


@pytest.mark.parametrize(("background", "wanted"), [("first", [2, 0, 1]), ("last", [1, 0, 2])])
def test_the_background_is_no_class(background: str, wanted: list[int]) -> None:
    logits = np.array([[0.0, 2.0, 1.0, 3.0]], np.float32)
    if background == "last":
        logits = np.array([[2.0, 3.0, 1.0, 0.0]], np.float32)
    spec = replace(SPEC, task_options={"background": background})
    TASK.check({"logits": logits}, spec)
    geometry = Geometry(8, 8, 1.0, 1.0, 0.0, 0.0)
    found = TASK.postprocess({"logits": logits}, geometry, spec, score_threshold=0)
    assert found.labels.tolist() == wanted
    assert found.scores[0] == pytest.approx(np.exp(3) / np.exp([0, 1, 2, 3]).sum())


@pytest.mark.parametrize(
    ("background", "size", "said"),
    [
        (
            "none",
            4,
            "output logits has 4 values, expected 3 (model.yaml); if the first is the "
            "background, set options.background: first",
        ),
        ("none", 9, "output logits has 9 values, expected 3 (model.yaml)"),
        ("last", 3, "output logits has 3 values, expected 3 and the background (model.yaml)"),
    ],
)
def test_another_number_of_values_is_refused(background: str, size: int, said: str) -> None:
    spec = replace(SPEC, task_options={"background": background})
    with pytest.raises(ValueError, match="output") as caught:
        TASK.check({"logits": np.zeros((1, size), np.float32)}, spec)
    assert str(caught.value) == said


def test_what_the_values_are_can_be_said() -> None:
    values, geometry = np.array([[0.2, 0.5, 0.3]], np.float32), Geometry(8, 8, 1.0, 1.0, 0.0, 0.0)
    seen = {}
    for how in ("auto", "none", "softmax", "sigmoid"):
        spec = replace(SPEC, task_options={"activation": how})
        found = TASK.postprocess({"logits": values}, geometry, spec, score_threshold=0)
        seen[how] = float(found.scores[0])
    assert seen == {
        "auto": pytest.approx(0.5),
        "none": pytest.approx(0.5),
        "softmax": pytest.approx(np.exp(0.5) / np.exp([0.2, 0.5, 0.3]).sum()),
        "sigmoid": pytest.approx(1 / (1 + np.exp(-0.5))),
    }
