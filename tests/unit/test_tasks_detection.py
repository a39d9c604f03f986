"""Decoding, NMS, masks, and the arrays of predictions.npz."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.records import ModelSpec, TensorSpec
from harness.tasks import REGISTRY, Detections, rle, unpack
from harness.tasks.detections import pack
from harness.tasks.letterbox import Geometry, fit
from harness.tasks.masks import assemble
from harness.tasks.nms import iou, nms

SPEC = ModelSpec(
    name="rio",
    task="instance-segmentation",
    module="network.py",
    function="load",
    weights="weights.pt",
    weights_sha256="",
    inputs=(TensorSpec("images", (1, 3, 64, 64)),),
    outputs=("boxes", "scores", "coeffs", "protos"),
    classes=("card", "paper"),
)
SEGMENTATION, DETECTION = REGISTRY["instance-segmentation"], REGISTRY["detection"]


def random_outputs(seed: int, locations: int = 60, classes: int = 2) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    near = rng.uniform(-5, 55, (1, locations, 2))
    boxes = np.concatenate([near, near + rng.uniform(1, 30, (1, locations, 2))], 2)
    return {
        "boxes": boxes.astype(np.float32),
        "scores": rng.uniform(0, 1, (1, locations, classes)).astype(np.float32),
        "coeffs": rng.normal(size=(1, locations, 4)).astype(np.float32),
        "protos": rng.normal(size=(1, 4, 16, 16)).astype(np.float32),
    }


def slow_iou(a: NDArray[Any], b: NDArray[Any]) -> float:
    """IoU of two boxes, by its definition."""
    w = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0])))
    h = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1])))
    both = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - w * h
    return w * h / both if both > 0 else 0.0


def slow_nms(
    boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], threshold: float
) -> list[int]:
    """Greedy NMS, box by box."""
    kept: list[int] = []
    for one in sorted(range(len(boxes)), key=lambda at: (-scores[at], at)):
        rivals = [other for other in kept if labels[other] == labels[one]]
        if all(slow_iou(boxes[one], boxes[other]) <= threshold for other in rivals):
            kept.append(one)
    return kept


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(0.1, 0.9))
def test_nms_keeps_what_brute_force_keeps(seed: int, count: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    near = rng.uniform(0, 20, (count, 2))
    boxes = np.concatenate([near, near + rng.uniform(0, 20, (count, 2))], 1).astype(np.float32)
    scores = rng.choice([0.1, 0.5, 0.7, 0.9], count).astype(np.float32)  # with ties
    labels = rng.integers(0, 3, count).astype(np.int32)
    kept = nms(boxes, scores, labels, iou_threshold=threshold, limit=1000)
    assert kept.tolist() == slow_nms(boxes, scores, labels, threshold)
    some = nms(boxes, scores, labels, iou_threshold=threshold, limit=3)
    assert some.tolist() == kept[:3].tolist()


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = np.array([(1, 1, 1, 1), (0, 0, 2, 2), (3, 3, 2, 2)], np.float32)
    assert np.isfinite(iou(boxes, boxes)).all()
    assert iou(boxes, boxes)[0].tolist() == [0, 0, 0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.25, 0.9]))
def test_decoding_agrees_with_brute_force(seed: int, threshold: float) -> None:
    outputs, geometry = random_outputs(seed), fit(48, 64, (64, 64))
    found = DETECTION.postprocess(outputs, geometry, SPEC, score_threshold=threshold)
    rows = [
        (place, label, outputs["scores"][0, place, label])
        for place in range(60)
        for label in range(2)
        if outputs["scores"][0, place, label] >= threshold
    ]
    boxes = np.array([outputs["boxes"][0, place] for place, _, _ in rows]).reshape(-1, 4)
    scores = np.array([score for _, _, score in rows])
    labels = np.array([label for _, label, _ in rows])
    kept = slow_nms(boxes, scores, labels, 0.7)[:100]
    wanted = np.clip(boxes[kept] - (0, 8, 0, 8), 0, (64, 48, 64, 48)).astype(np.float32)
    seen = (wanted[:, 2] > wanted[:, 0]) & (wanted[:, 3] > wanted[:, 1])
    np.testing.assert_allclose(found.boxes, wanted[seen], atol=1e-5)
    np.testing.assert_array_equal(found.scores, scores[kept][seen])
    np.testing.assert_array_equal(found.labels, labels[kept][seen])


def test_the_model_may_change_nms_and_the_number_of_detections() -> None:
    spec = replace(SPEC, task_options={"nms_iou": 0.1, "max_detections": 3})
    geometry = fit(64, 64, (64, 64))
    found = DETECTION.postprocess(random_outputs(0), geometry, spec, score_threshold=0.1)
    assert len(found) == 3
    for label in (0, 1):
        boxes = found.boxes[found.labels == label]
        assert (np.triu(iou(boxes, boxes), 1) <= 0.1 + 1e-6).all()


def test_an_option_that_is_no_number_is_named() -> None:
    spec = replace(SPEC, task_options={"nms_iou": "high"})
    with pytest.raises(TypeError, match="model rio: task_options.nms_iou: 'high' is not a number"):
        DETECTION.postprocess(random_outputs(0), fit(64, 64, (64, 64)), spec, score_threshold=0.1)


@pytest.mark.parametrize("task", [DETECTION, SEGMENTATION])
def test_nothing_found_is_empty_arrays(task: Any) -> None:
    found = task.postprocess(random_outputs(0), fit(64, 64, (64, 64)), SPEC, score_threshold=2.0)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (
        np.float32,
        np.float32,
        np.int32,
    )
    assert found.masks in (None, ())


def test_segmentation_finds_the_boxes_of_detection() -> None:
    outputs, geometry = random_outputs(3), fit(100, 70, (64, 64))
    boxes = DETECTION.postprocess(outputs, geometry, SPEC, score_threshold=0.3)
    both = SEGMENTATION.postprocess(outputs, geometry, SPEC, score_threshold=0.3)
    np.testing.assert_array_equal(both.boxes, boxes.boxes)
    assert both.masks is not None
    assert len(both.masks) == len(boxes)
    assert all(runs.sum() == 100 * 70 for runs in both.masks)


# ---- masks -------------------------------------------------------------------------------------


def slow_mask(
    box: NDArray[Any], plane: NDArray[Any], geometry: Geometry, side: int
) -> NDArray[np.bool_]:
    """Bilinear samples of `plane` at every pixel centre in the box, one by one."""
    cells = len(plane)
    mask = np.zeros((geometry.height, geometry.width), np.bool_)
    for row in range(geometry.height):
        for column in range(geometry.width):
            x, y = column + 0.5, row + 0.5
            if not (box[0] <= x < box[2] and box[1] <= y < box[3]):
                continue
            u = (x * geometry.scale_x + geometry.left) * cells / side - 0.5
            v = (y * geometry.scale_y + geometry.top) * cells / side - 0.5
            u, v = min(max(u, 0), cells - 1), min(max(v, 0), cells - 1)
            u0, v0 = min(int(u), cells - 2), min(int(v), cells - 2)
            du, dv = u - u0, v - v0
            above = plane[v0, u0] * (1 - du) + plane[v0, u0 + 1] * du
            below = plane[v0 + 1, u0] * (1 - du) + plane[v0 + 1, u0 + 1] * du
            mask[row, column] = above * (1 - dv) + below * dv > 0
    return mask


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (90, 70)])
def test_masks_are_bilinear_samples_of_the_prototypes(size: tuple[int, int]) -> None:
    rng, geometry = np.random.default_rng(5), fit(*size, (64, 64))
    near = rng.uniform(0, 30, (6, 2))
    boxes = np.concatenate([near, near + rng.uniform(3, 40, (6, 2))], 1)
    boxes = np.clip(boxes, 0, (size[1], size[0]) * 2).astype(np.float32)
    coeffs = rng.normal(size=(6, 4)).astype(np.float32)
    protos = rng.normal(size=(4, 16, 16)).astype(np.float32)
    masks = assemble(boxes, coeffs, protos, geometry, (64, 64))
    for at, runs in enumerate(masks):
        plane = np.tensordot(coeffs[at], protos, 1)
        wanted = slow_mask(boxes[at], plane, geometry, 64)
        assert np.mean(rle.decode(runs, size) != wanted) < 1e-3  # rounding at the zero line


def test_masks_at_the_far_edge_are_inside_the_picture() -> None:
    geometry = fit(48, 64, (64, 64))
    boxes = np.array([(63.9, 47.9, 64, 48), (0, 0, 0.1, 0.1)], np.float32)
    coeffs, protos = np.ones((2, 1), np.float32), np.ones((1, 16, 16), np.float32)
    masks = assemble(boxes, coeffs, protos, geometry, (64, 64))
    places = [np.argwhere(rle.decode(runs, (48, 64))).tolist() for runs in masks]
    assert places == [[[47, 63]], [[0, 0]]]


# ---- predictions.npz ---------------------------------------------------------------------------


def detections(count: int, masks: bool) -> Detections:
    rng = np.random.default_rng(count)
    runs = tuple(np.arange(1, at + 2, dtype=np.uint32) for at in range(count))
    return Detections(
        rng.uniform(0, 9, (count, 4)).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.integers(0, 3, count).astype(np.int32),
        runs if masks else None,
    )


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("counts", [(), (0,), (2, 0, 3), (1, 1)])
def test_packed_detections_come_back_sorted_by_image(counts: tuple[int, ...], masks: bool) -> None:
    rows = [(9 - at, (4, 5 + at), detections(count, masks)) for at, count in enumerate(counts)]
    back = unpack(pack(rows))
    assert [(image_id, size) for image_id, size, _ in back] == [
        (image_id, size) for image_id, size, _ in reversed(rows)
    ]
    for (_, _, found), (_, _, wanted) in zip(back, reversed(rows), strict=True):
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
        np.testing.assert_array_equal(found.scores, wanted.scores)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        assert (found.masks is None) == (wanted.masks is None)
        for a, b in zip(found.masks or (), wanted.masks or (), strict=True):
            np.testing.assert_array_equal(a, b)


def test_packed_arrays_have_the_documented_layout() -> None:
    arrays = pack([(7, (4, 5), detections(2, True)), (3, (6, 8), detections(1, True))])
    assert arrays["image_id"].tolist() == [3, 7, 7]
    assert arrays["image_size"].tolist() == [[3, 6, 8], [7, 4, 5]]
    assert arrays["rle"].tolist() == [1, 1, 1, 2]
    assert arrays["rle_end"].tolist() == [1, 2, 4]
    kinds = {name: str(array.dtype) for name, array in arrays.items()}
    assert kinds == {
        "image_id": "int64",
        "box": "float32",
        "score": "float32",
        "label": "int32",
        "image_size": "int64",
        "rle": "uint32",
        "rle_end": "int64",
    }


def test_a_mask_for_some_detections_only_is_refused() -> None:
    rows = [(1, (4, 5), detections(2, True)), (2, (4, 5), detections(1, False))]
    with pytest.raises(ValueError, match="3 detections, but 2 masks"):
        pack(rows)


def test_tasks_need_numpy_only() -> None:
    import subprocess

    code = (
        "import sys; before = set(sys.modules); import numpy, harness.tasks, harness.tasks.crop;"
        "names = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(names - sys.stdlib_module_names - {'numpy', 'harness'}))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
