"""Scores against pycocotools, and by hand."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness import export, metrics
from harness.errors import ConfigError
from harness.metrics import REGISTRY, coco_map, topk, truth
from harness.metrics.class_names import class_notes
from harness.metrics.coco_rle import compressed
from harness.metrics.spec import Value
from harness.tasks import REGISTRY as TASKS
from harness.tasks import Detections, rle
from harness.tasks.detections import pack

CLASSES = ("cat", "dog", "fox")
SIZE = (60, 80)
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]


def random_boxes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    near = rng.uniform(0, 40, (count, 2))
    return np.concatenate([near, near + rng.uniform(3, 20, (count, 2))], 1)


def truth_file(folder: Path, rng: np.random.Generator, images: int, objects: int) -> Path:
    """Annotations with hexagons, a crowd now and then, and ids that are no indices."""
    annotations = []
    for at, (x0, y0, x1, y1) in enumerate(random_boxes(rng, objects).round(2).tolist()):
        middle = (y0 + y1) / 2
        polygon = [x0, middle, x0 + 1, y0, x1 - 1, y0, x1, middle, x1 - 1, y1, x0 + 1, y1]
        annotations.append(
            {
                "id": at + 1,
                "image_id": int(rng.integers(images)) * 3 + 5,
                "category_id": int(rng.choice([2, 4, 9])),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "segmentation": [polygon],
            }
        )
    content = {
        "images": [
            {"id": at * 3 + 5, "file_name": f"{at}.png", "height": SIZE[0], "width": SIZE[1]}
            for at in range(images)
        ],
        "annotations": annotations,
        "categories": [
            {"id": id, "name": name} for id, name in ((9, "fox"), (2, "cat"), (4, "dog"))
        ],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def guesses(path: Path, rng: np.random.Generator, extra: int, masks: bool) -> dict[str, Any]:
    """Predictions near the truth, some with the wrong class, and `extra` at random."""
    content = json.loads(path.read_text())
    label = {2: 0, 4: 1, 9: 2}
    rows = []
    for image in content["images"]:
        mine = [one for one in content["annotations"] if one["image_id"] == image["id"]]
        boxes = np.array([one["bbox"] for one in mine]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.concatenate([boxes + rng.normal(0, 1, boxes.shape), random_boxes(rng, extra)])
        boxes = np.clip(np.sort(boxes.reshape(-1, 2, 2), 1).reshape(-1, 4), 0, 59)
        labels = np.array([label[one["category_id"]] for one in mine], int)
        labels = np.concatenate([labels, rng.integers(0, 3, extra)])
        scores = rng.choice([0.1, 0.3, 0.5, 0.9], len(boxes))  # with ties
        found = Detections(
            boxes.astype(np.float32),
            scores.astype(np.float32),
            labels.astype(np.int32),
            tuple(ellipse(box) for box in boxes) if masks else None,
        )
        rows.append((image["id"], SIZE, found))
    return pack(rows)


def ellipse(box: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Runs of the ellipse in a box (4,) xyxy."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 0.1)
    return rle.encode(
        ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1, SIZE
    )


def by_pycocotools(path: Path, predictions: dict[str, Any], kind: str) -> tuple[float, float]:
    """mAP50-95 and mAP50 of the images that were looked at."""
    results = []
    ends = predictions["rle_end"] if "rle" in predictions else []
    for at, (x0, y0, x1, y1) in enumerate(predictions["box"].astype(float).tolist()):
        result = {
            "image_id": int(predictions["image_id"][at]),
            "category_id": [2, 4, 9][predictions["label"][at]],
            "score": float(predictions["score"][at]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        if kind == "segm":
            runs = predictions["rle"][ends[at - 1] if at else 0 : ends[at]].tolist()
            result["segmentation"] = coco_mask.frPyObjects({"size": SIZE, "counts": runs}, *SIZE)
        results.append(result)
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = COCO(str(path))
        evaluation = COCOeval(wanted, wanted.loadRes(results), kind)
        evaluation.params.imgIds = predictions["image_size"][:, 0].tolist()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(max_examples=15, deadline=None, suppress_health_check=SHARED_FOLDER)
@given(seed=st.integers(0, 2**32 - 1), objects=st.integers(1, 40), extra=st.integers(1, 20))
def test_the_same_as_pycocotools(tmp_path: Path, seed: int, objects: int, extra: int) -> None:
    rng = np.random.default_rng(seed)
    path = truth_file(tmp_path, rng, 6, objects)
    predictions = guesses(path, rng, extra, masks=True)
    seen = coco_map.score(predictions, path, CLASSES)
    box, mask = (by_pycocotools(path, predictions, kind) for kind in ("bbox", "segm"))
    assert (seen["map50_95"], seen["map50"]) == pytest.approx(box, abs=1e-6)
    assert (seen["mask_map50_95"], seen["mask_map50"]) == pytest.approx(mask, abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(
        arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)), min_size=0, max_size=5
    )
)
def test_run_lengths_are_compressed_as_by_pycocotools(masks: list[NDArray[np.bool_]]) -> None:
    runs = [rle.encode(mask, (mask.shape[0], mask.shape[1])) for mask in masks]
    ends = np.cumsum([len(one) for one in runs], dtype=np.int64)
    flat = np.concatenate([np.zeros(0, np.uint32), *runs])
    wanted = [
        coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in masks
    ]
    assert compressed(flat, ends) == wanted


@settings(deadline=None)
@given(st.lists(st.integers(1, 2**26), min_size=1, max_size=8))
def test_long_runs_are_compressed_as_by_pycocotools(runs: list[int]) -> None:
    size = [1, sum(runs)]
    wanted = coco_mask.frPyObjects({"size": size, "counts": runs}, *size)["counts"]
    assert compressed(np.array(runs, np.uint32), np.array([len(runs)])) == [wanted]


def test_only_pictures_that_were_looked_at_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = truth_file(tmp_path, rng, 8, 60)
    predictions = guesses(path, rng, 3, masks=False)
    some = predictions["image_id"] < 14
    predictions = {
        name: predictions[name][some] for name in ("image_id", "box", "score", "label")
    } | {"image_size": predictions["image_size"][:3]}
    seen = coco_map.score(predictions, path, CLASSES)
    assert set(seen) == {"map50_95", "map50"}
    assert (seen["map50_95"], seen["map50"]) == pytest.approx(
        by_pycocotools(path, predictions, "bbox"), abs=1e-6
    )


def test_perfect_predictions_score_one(tmp_path: Path) -> None:
    path = truth_file(tmp_path, np.random.default_rng(0), 1, 3)
    content = json.loads(path.read_text())
    boxes = np.array([one["bbox"] for one in content["annotations"]], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    labels = [{2: 0, 4: 1, 9: 2}[one["category_id"]] for one in content["annotations"]]
    found = Detections(boxes, np.ones(3, np.float32), np.array(labels, np.int32))
    seen = coco_map.score(pack([(5, SIZE, found)]), path, CLASSES)
    assert seen == {"map50_95": pytest.approx(1), "map50": pytest.approx(1)}


def nothing(masks: bool) -> Detections:
    return Detections(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
        () if masks else None,
    )


def test_no_detection_at_all_scores_zero(tmp_path: Path) -> None:
    path = truth_file(tmp_path, np.random.default_rng(0), 2, 3)
    rows = [(5, SIZE, nothing(True)), (8, SIZE, nothing(True))]
    seen = coco_map.score(pack(rows), path, CLASSES)
    assert seen == {"map50_95": 0.0, "map50": 0.0, "mask_map50_95": 0.0, "mask_map50": 0.0}
    assert set(coco_map.score(pack([(5, SIZE, nothing(False))]), path, CLASSES)) <= {
        "map50_95",
        "map50",
    }


def test_without_an_object_there_is_no_score(tmp_path: Path) -> None:
    path = truth_file(tmp_path, np.random.default_rng(0), 2, 0)
    assert coco_map.score(pack([(5, SIZE, nothing(False))]), path, CLASSES) == {}
    assert coco_map.score(pack([]), path, CLASSES) == {}


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = truth_file(tmp_path, np.random.default_rng(0), 2, 5)
    coco_map.score(guesses(path, np.random.default_rng(1), 2, masks=True), path, CLASSES)
    assert capfd.readouterr() == ("", "")


def test_classes_that_the_truth_lacks_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = truth_file(tmp_path, rng, 2, 5)
    seen = guesses(path, rng, 2, masks=False)
    with pytest.raises(ConfigError) as caught:
        coco_map.score(seen, path, ("cow", "hen", "pig"))
    assert caught.value.mistakes == [
        f"{path}: class '{name}' of the model is not among the categories"
        for name in ("cow", "hen", "pig")
    ]
    assert caught.value.hint == ("Rename the model's classes to match 'cat', 'dog', 'fox'.")
    assert class_notes(truth.read(path), ("cat", "cow", "fox")) == (
        "annotated classes that the model lacks are not scored: dog",
        "classes without annotations are not scored: cow",
    )


def test_top1_counts_the_best_class_of_every_picture(tmp_path: Path) -> None:
    path = truth_file(tmp_path, np.random.default_rng(0), 0, 0)
    content = json.loads(path.read_text())
    content["images"] = [{"id": at, "file_name": "x", "height": 9, "width": 9} for at in range(4)]
    content["annotations"] = [
        {"id": at, "image_id": at, "category_id": category}
        for at, category in enumerate((2, 4, 9, 9))
    ]
    path.write_text(json.dumps(content))
    whole = np.zeros((2, 4), np.float32)
    rows = [
        (at, SIZE, Detections(whole, np.array([0.7, 0.3], np.float32), np.array(labels, np.int32)))
        for at, labels in enumerate(((0, 1), (2, 1), (2, 0)))
    ]
    rows.append((3, SIZE, nothing(False)))
    assert topk.score(pack(rows), path, CLASSES) == {"top1": 0.5}
    assert topk.score(pack([]), path, CLASSES) == {}


def test_of_equal_scores_the_first_counts() -> None:
    scores, labels = np.array([0.5, 0.5], np.float32), np.array([2, 1], np.int32)
    predictions = pack([(1, SIZE, Detections(np.zeros((2, 4), np.float32), scores, labels))])
    assert topk.best_labels(predictions) == {1: (2, 1)}


def test_top5_counts_a_true_class_among_the_best_five(tmp_path: Path) -> None:
    names = tuple(f"class {at}" for at in range(7))
    path = tmp_path / "annotations.json"
    content = {
        "images": [{"id": at, "file_name": "x", "height": 9, "width": 9} for at in range(3)],
        "annotations": [{"image_id": at, "category_id": 4} for at in range(3)],
        "categories": [{"id": at, "name": name} for at, name in enumerate(names)],
    }
    path.write_text(json.dumps(content))
    scores = np.array([0.5, 0.2, 0.1, 0.05, 0.04], np.float32)

    def rows(*best: tuple[int, ...]) -> dict[str, Any]:
        whole = np.zeros((5, 4), np.float32)
        found = [
            Detections(whole[: len(one)], scores[: len(one)], np.array(one, np.int32))
            for one in best
        ]
        return pack([(at, SIZE, one) for at, one in enumerate(found)])

    seen = rows((4, 1, 2, 3, 0), (0, 1, 2, 3, 4), (0, 1, 2, 3, 5))
    assert topk.score(seen, path, names) == {"top1": 1 / 3, "top5": 2 / 3}
    assert topk.score(rows((4, 1), (0, 1), (0, 4)), path, names) == {"top1": 1 / 3}
    few = rows((0, 1), (0, 1), (1, 0))
    content["categories"] = content["categories"][:5]
    path.write_text(json.dumps(content))
    assert topk.score(few, path, ("class 4", "class 1")) == {"top1": 2 / 3, "top5": 1.0}


def test_every_task_has_a_metric_but_that_of_tensors() -> None:
    found = {name: metrics.of_task(name) for name in TASKS}
    assert found.pop("tensor") is None
    assert set(found.values()) == set(REGISTRY.values())


def test_a_value_has_a_name_of_its_own_that_is_no_other_column() -> None:
    names = [value.name for metric in REGISTRY.values() for value in metric.SPEC.values]
    assert len(names) == len(set(names)) == len(metrics.values())
    others = {"map50_95", "map50", "mask_map50_95", "mask_map50", "top1"} ^ set(export.COLUMNS)
    assert not others & set(names)


def test_a_headline_has_a_gate_against_the_reference() -> None:
    assert {value.change_gate for value in metrics.headlines()} <= set(metrics.gates())


def test_a_gate_fits_the_direction_in_which_a_value_is_better() -> None:
    with pytest.raises(ValueError, match="^cer: lower is better, so it has no drop gate$"):
        Value("cer", "CER", "lower", gates=("drop",))
