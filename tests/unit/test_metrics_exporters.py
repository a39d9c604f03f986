"""Annotations as people's tools export them score as pycocotools scores the plain file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ConfigError
from harness.metrics import coco_map, topk, truth
from harness.metrics.class_names import class_notes

Content = dict[str, Any]
SIZE = (40, 50)


def plain() -> Content:
    """Four images with one card each, 12 x 9 pixels."""
    images = [{"id": n, "file_name": f"{n}.png", "height": 40, "width": 50} for n in range(1, 5)]
    annotations = [
        {
            "id": n,
            "image_id": n,
            "category_id": 1,
            "bbox": [n, 2.0, 12.0, 9.0],
            "area": 108.0,
            "iscrowd": 0,
            "segmentation": [[n, 2, n + 12, 2, n + 12, 11, n, 11]],
        }
        for n in range(1, 5)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "card"}],
    }


def perfect(labels: int = 1) -> dict[str, np.ndarray]:
    """Predictions that are the truth, each with `labels` wrong ones beside it."""
    boxes = [(n, 2, n + 12, 11) for n in range(1, 5)]
    return {
        "image_id": np.arange(1, 5),
        "box": np.array(boxes, np.float32),
        "score": np.full(4, 0.9, np.float32),
        "label": np.zeros(4, np.int32),
        "image_size": np.array([(n, *SIZE) for n in range(1, 5)]),
    }


def each(part: str, **fields: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for entry in content[part]:
            entry.update(fields)

    return change


def drop(part: str, name: str) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for entry in content[part]:
            del entry[name]

    return change


def ids_as_text(content: Content) -> None:
    for entry in content["images"]:
        entry["id"] = str(entry["id"])
    for entry in content["annotations"]:
        entry["image_id"] = str(entry["image_id"])


def dummy_category(content: Content) -> None:
    content["categories"].insert(0, {"id": 0, "name": "card", "supercategory": "none"})


EXPORTERS: dict[str, Callable[[Content], None]] = {
    "plain": lambda content: None,
    "roboflow": lambda c: c.update(
        info={"year": "2023", "version": "1"},
        licenses=[{"id": 1, "url": "", "name": "CC BY 4.0"}],
    ),
    "roboflow dummy category": dummy_category,
    "cvat": lambda c: c.update(info={"year": ""}) or each("images", license=0, date_captured=0)(c),
    "fiftyone": each("images", license=None, coco_url=None),
    "pylabel": each("annotations", iscrowd=None),
    "iscrowd as a truth value": each("annotations", iscrowd=False),
    "licenses null": lambda c: c.update(licenses=None, info=[]),
    "version a number": lambda c: c.update(info={"version": 1.0, "year": 2023}),
    "empty segmentation": each("annotations", segmentation=[]),
    "null segmentation": each("annotations", segmentation=None),
    "yolo converters: no area": drop("annotations", "area"),
    "via: flat outline": lambda c: [
        a.update(segmentation=a["segmentation"][0]) for a in c["annotations"]
    ],
    "via: ids as text": ids_as_text,
    "labelme: outline alone": lambda c: (
        drop("annotations", "bbox")(c),
        drop("annotations", "area")(c),
    ),
    "no annotation ids": drop("annotations", "id"),
    "whole floats as ids": lambda c: [
        a.update(image_id=float(a["image_id"])) for a in c["annotations"]
    ],
    "windows paths": lambda c: [
        i.update(file_name=".\\images\\" + i["file_name"]) for i in c["images"]
    ],
}


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_export_scores_as_the_plain_file(tmp_path: Path, name: str) -> None:
    content = plain()
    EXPORTERS[name](content)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    assert coco_map.score(perfect(), path, ("card",)) == {"map50_95": 1.0, "map50": 1.0}


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(plain()), encoding="utf-8-sig")
    assert coco_map.score(perfect(), path, ("card",))["map50_95"] == 1.0


def test_what_was_filled_in_is_noted(tmp_path: Path) -> None:
    content = plain()
    drop("annotations", "area")(content)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    assert truth.read(path).notes == (
        "area taken from the box in 4 annotations (first annotations[0])",
    )


def test_a_model_of_fewer_classes_is_scored_over_its_own(tmp_path: Path) -> None:
    content = plain()
    for number in range(2, 11):
        content["categories"].append({"id": number, "name": f"other{number}"})
        content["annotations"] += [
            {**copy.deepcopy(one), "id": 10 * number + one["id"], "category_id": number}
            for one in content["annotations"][:4]
        ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    assert coco_map.score(perfect(), path, ("card",)) == {"map50_95": 1.0, "map50": 1.0}
    assert class_notes(truth.read(path), ("card",)) == (
        "annotated classes that the model lacks are not scored: "
        "other2, other3, other4, other5, other6, other7, other8, other9, other10",
    )


def test_a_model_of_more_classes_is_scored_over_those_that_are_annotated(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(plain()))
    seen = perfect()
    seen = {k: np.concatenate([v, v]) if k != "image_size" else v for k, v in seen.items()}
    seen["label"] = np.array([1] * 4 + [0] * 4, np.int32)
    assert coco_map.score(seen, path, ("card", "hat")) == {"map50_95": 1.0, "map50": 1.0}


@pytest.mark.parametrize("damage", ["score", "box"])
def test_predictions_that_are_not_finite_are_no_detections(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(plain()))
    seen = perfect()
    seen[damage] = seen[damage].copy()
    seen[damage][:] = np.nan
    assert coco_map.score(seen, path, ("card",)) == {"map50_95": 0.0, "map50": 0.0}


def test_masks_are_not_scored_against_boxes_alone(tmp_path: Path) -> None:
    content = plain()
    each("annotations", segmentation=[])(content)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    runs = np.array([0, 2000] * 4, np.uint32)
    seen = {**perfect(), "rle": runs, "rle_end": np.arange(2, 10, 2)}
    assert set(coco_map.score(seen, path, ("card",))) == {"map50_95", "map50"}


def test_thousands_of_mistakes_are_ten_and_a_count(tmp_path: Path) -> None:
    content = plain()
    one = content["annotations"][0]
    content["annotations"] = [{**one, "id": n, "bbox": "?"} for n in range(20_000)]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        truth.read(path)
    assert len(caught.value.mistakes) == 20_000
    *shown, rest = caught.value.message.splitlines()
    assert len(shown) == 10
    assert rest == "and 19,990 more mistakes"


def test_any_class_of_an_image_is_right_for_top1(tmp_path: Path) -> None:
    content = plain()
    content["categories"].append({"id": 2, "name": "hat"})
    content["annotations"] = [
        {"image_id": 1, "category_id": 1},
        {"image_id": 1, "category_id": 2},
        {"image_id": 2, "category_id": 2},
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    assert topk.score(perfect(), path, ("card", "hat")) == {"top1": 0.5}
