"""Labels of pixels, and their mIoU, against loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decoders_for_tests import spec_of
from numpy.typing import NDArray

from harness.errors import ConfigError
from harness.metrics import REGISTRY as METRICS
from harness.tasks import REGISTRY, rle, unpack
from harness.tasks.detections import Detections, pack
from harness.tasks.letterbox import Geometry, fit
from harness.tasks.semantic_segmentation import label_map

TASK, MIOU = REGISTRY["semantic-segmentation"], METRICS["miou"]


def slow_labels(planes: NDArray[Any], geometry: Geometry, side: int) -> NDArray[np.int64]:
    """The best of the bilinear samples at every pixel centre, one by one."""
    count, height, width = planes.shape
    labels = np.zeros((geometry.height, geometry.width), int)
    for row in range(geometry.height):
        for column in range(geometry.width):
            u = ((column + 0.5) * geometry.scale_x + geometry.left) * width / side - 0.5
            v = ((row + 0.5) * geometry.scale_y + geometry.top) * height / side - 0.5
            u, v = min(max(u, 0), width - 1), min(max(v, 0), height - 1)
            u0, v0 = int(u), int(v)
            u1, v1 = min(u0 + 1, width - 1), min(v0 + 1, height - 1)
            values = []
            for label in range(count):
                plane = planes[label]
                above = plane[v0, u0] * (1 - (u - u0)) + plane[v0, u1] * (u - u0)
                below = plane[v1, u0] * (1 - (u - u0)) + plane[v1, u1] * (u - u0)
                values.append(above * (1 - (v - v0)) + below * (v - v0))
            labels[row, column] = int(np.argmax(values))
    return labels


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("cells", [(64, 64), (16, 16), (8, 12)])
@pytest.mark.parametrize("letterboxed", [False, True])
def test_scores_are_interpolated_before_the_best_is_chosen(
    channels_last: bool, cells: tuple[int, int], letterboxed: bool
) -> None:
    planes = np.random.default_rng(0).normal(size=(5, *cells)).astype(np.float32)
    output = (np.moveaxis(planes, 0, -1) if channels_last else planes)[None]
    spec = spec_of("", {"out": output}, 5)
    geometry = fit(30, 45, (64, 64)) if letterboxed else Geometry(30, 45, 64 / 45, 64 / 30, 0, 0)
    seen = label_map({"out": output}, geometry, spec)
    assert np.mean(seen != slow_labels(planes, geometry, 64)) < 2e-3  # ties of rounding


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 8, 8)])
@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32])
def test_labels_are_taken_from_the_nearest_place(shape: tuple[int, ...], kind: Any) -> None:
    labels = np.random.default_rng(1).integers(1, 4, (8, 8))
    spec = spec_of("", {"out": labels}, 3, class_offset=1)
    seen = label_map(
        {"out": labels.astype(kind).reshape(shape)}, Geometry(16, 16, 4, 4, 0, 0), spec
    )
    np.testing.assert_array_equal(seen, np.kron(labels - 1, np.ones((2, 2), int)))


def test_each_class_is_a_mask_with_its_share_as_the_score() -> None:
    labels = np.array([[0, 0, 0, 2], [2, 0, 9, 0]])  # 9 is no class: void
    spec = spec_of("", {"out": labels}, 3)
    found = TASK.postprocess(
        {"out": labels[None]}, Geometry(2, 4, 16, 32, 0, 0), spec, score_threshold=0.9
    )
    assert found.labels.tolist() == [0, 2]
    assert found.scores.tolist() == [0.625, 0.25]
    assert found.boxes.tolist() == [[0, 0, 4, 2]] * 2
    assert found.masks is not None
    np.testing.assert_array_equal(rle.decode(found.masks[1], (2, 4)), labels == 2)


@pytest.mark.parametrize(("activation", "least"), [("sigmoid", 0.0), ("none", 0.5)])
def test_one_class_is_there_or_not(activation: str, least: float) -> None:
    plane = np.random.default_rng(2).uniform(-1, 1, (1, 1, 64, 64)).astype(np.float32)
    spec = spec_of("", {"out": plane}, 1, activation=activation)
    seen = label_map({"out": plane}, fit(64, 64, (64, 64)), spec)
    np.testing.assert_array_equal(seen, np.where(plane[0, 0] > least, 0, -1))


def test_an_image_may_show_no_class_where_the_offset_is_given() -> None:
    outputs = {"out": np.zeros((1, 8, 8), np.int64)}
    spec = spec_of("", outputs, 3, class_offset=1)
    TASK.check(outputs, spec)
    geometry = Geometry(8, 8, 8, 8, 0, 0)
    assert len(TASK.postprocess(outputs, geometry, spec, score_threshold=0.5)) == 0


def test_probabilities_of_one_class_are_not_taken_for_logits() -> None:
    plane = np.random.default_rng(2).uniform(-3, 3, (1, 1, 64, 64)).astype(np.float32)
    TASK.check({"out": plane}, spec_of("", {"out": plane}, 1))
    chances = {"out": (1 / (1 + np.exp(-plane))).astype(np.float32)}
    with pytest.raises(ValueError, match=".+") as caught:
        TASK.check(chances, spec_of("", chances, 1))
    assert str(caught.value) == (
        "output out ranges from 0.0474 to 0.953, expected logits: "
        "set options.activation: none for probabilities, else sigmoid"
    )
    TASK.check(chances, spec_of("", chances, 1, activation="none"))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            (1, 4, 8, 8),
            "output out has shape (1, 4, 8, 8), expected (1, 3, h, w) or (1, h, w, 3) or "
            "(1, h, w) or (1, 1, h, w): scores of every class of model.yaml, or labels",
        ),
        (
            (1, 8, 8),
            "output out has label 7, model.yaml names 3 classes: "
            "set options.class_offset to the label of the first one",
        ),
    ],
)
def test_outputs_that_are_no_labels_are_refused(shape: tuple[int, ...], said: str) -> None:
    outputs = {"out": np.full(shape, 7, np.float32)}
    with pytest.raises(ValueError, match=".+") as caught:
        TASK.check(outputs, spec_of("", outputs, 3))
    assert str(caught.value) == said


# ---- mIoU ----------------------------------------------------------------------------------------

SIZE = (24, 32)


def truth_of(folder: Path, maps: list[NDArray[Any]], names: dict[int, str]) -> Path:
    """Annotations with one run-length mask for each class of each image; 0 is not annotated."""
    annotations = [
        {
            "id": len(names) * at + number,
            "image_id": at + 1,
            "category_id": number,
            "bbox": [0, 0, 20, 20],
            "segmentation": {
                "size": list(SIZE),
                "counts": rle.encode(labels == number, SIZE).tolist(),
            },
        }
        for at, labels in enumerate(maps)
        for number in names
        if (labels == number).any()
    ]
    images = [
        {"id": at + 1, "file_name": f"{at}.png", "height": SIZE[0], "width": SIZE[1]}
        for at in range(len(maps))
    ]
    categories = [{"id": number, "name": name} for number, name in names.items()]
    path = folder / "annotations.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def predicted(maps: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    rows = []
    for at, labels in enumerate(maps):
        present = [one for one in np.unique(labels).tolist() if one >= 0]
        masks = tuple(rle.encode(labels == one, SIZE) for one in present)
        boxes = np.zeros((len(present), 4), np.float32)
        scores = np.ones(len(present), np.float32)
        rows.append((at + 1, SIZE, Detections(boxes, scores, np.array(present, np.int32), masks)))
    return pack(rows)


def slow_miou(
    wanted: list[NDArray[Any]], seen: list[NDArray[Any]], classes: list[int]
) -> tuple[float, float]:
    """Over pixels whose truth is one of the classes, pixel by pixel."""
    both, either = dict.fromkeys(classes, 0), dict.fromkeys(classes, 0)
    right = total = 0
    for a, b in zip(wanted, seen, strict=True):
        for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
            if x not in classes:
                continue
            total += 1
            right += x == y
            for one in classes:
                both[one] += x == y == one
                either[one] += one in (x, y)
    shares = [both[one] / either[one] for one in classes if either[one]]
    return sum(shares) / len(shares), right / total


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_miou_is_that_of_a_count_of_pixels(tmp_path: Path, seed: int, background: bool) -> None:
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, 4, SIZE) for _ in range(3)]  # 0 is not annotated
    seen = [np.where(rng.uniform(size=SIZE) < 0.6, m, rng.integers(0, 4, SIZE)) for m in maps]
    path = truth_of(tmp_path, maps, {1: "road", 2: "sky", 3: "tree"})
    if background:
        classes, values = ("background", "road", "sky", "tree"), [0, 1, 2, 3]
        arrays = predicted(seen)
    else:
        classes, values = ("road", "sky", "tree"), [1, 2, 3]
        arrays = predicted([m - 1 for m in seen])
    found = MIOU.score(arrays, path, classes)
    miou, accuracy = slow_miou(maps, seen, values)
    assert found == {"miou": pytest.approx(miou), "pixel_accuracy": pytest.approx(accuracy)}


def test_pixels_of_a_class_that_the_model_lacks_are_not_counted(tmp_path: Path) -> None:
    labels = np.ones(SIZE, int)
    labels[:, 16:] = 2
    path = truth_of(tmp_path, [labels], {1: "road", 2: "river"})
    assert MIOU.score(predicted([np.zeros(SIZE, int)]), path, ("road",)) == {
        "miou": 1.0,
        "pixel_accuracy": 1.0,
    }


def test_pixels_of_two_classes_at_once_are_not_counted(tmp_path: Path) -> None:
    path = truth_of(tmp_path, [np.ones(SIZE, int)], {1: "road", 2: "sky"})
    content = json.loads(path.read_text())
    half = np.zeros(SIZE, bool)
    half[:12] = True
    one = content["annotations"][0]
    outline = {"size": list(SIZE), "counts": rle.encode(half, SIZE).tolist()}
    content["annotations"].append({**one, "id": 9, "category_id": 2, "segmentation": outline})
    path.write_text(json.dumps(content))
    seen = np.where(half, 1, 0)
    assert MIOU.score(predicted([seen]), path, ("road", "sky"))["pixel_accuracy"] == 1.0


def test_polygons_are_outlines_too(tmp_path: Path) -> None:
    path = truth_of(tmp_path, [np.ones(SIZE, int)], {1: "road"})
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = [[0, 0, 16, 0, 16, 24, 0, 24]]
    path.write_text(json.dumps(content))
    seen = np.zeros(SIZE, int)
    seen[:, 16:] = -1
    found = MIOU.score(predicted([seen]), path, ("road",))
    assert found == {"miou": 1.0, "pixel_accuracy": 1.0}


def test_nothing_found_and_no_outline_are_not_the_same(tmp_path: Path) -> None:
    path = truth_of(tmp_path, [np.ones(SIZE, int)], {1: "road"})
    assert MIOU.score(predicted([np.full(SIZE, -1)]), path, ("road",))["miou"] == 0.0
    content = json.loads(path.read_text())
    del content["annotations"][0]["segmentation"]
    path.write_text(json.dumps(content))
    assert MIOU.score(predicted([np.zeros(SIZE, int)]), path, ("road",)) == {}


def test_images_that_are_not_annotated_are_refused(tmp_path: Path) -> None:
    path = truth_of(tmp_path, [np.ones(SIZE, int)], {1: "road"})
    arrays = predicted([np.zeros(SIZE, int)] * 2)
    with pytest.raises(ConfigError, match="missing images with predictions, ids 2"):
        MIOU.score(arrays, path, ("road",))


def test_masks_of_pixels_come_back_from_the_file() -> None:
    arrays = predicted([np.arange(24 * 32).reshape(SIZE) % 3])
    ((_, size, found),) = unpack(arrays)
    assert found.masks is not None
    total = sum(rle.decode(runs, size).sum() for runs in found.masks)
    assert total == 24 * 32
