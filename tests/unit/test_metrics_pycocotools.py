"""Random small datasets, written as oddly as tools write them, score as pycocotools scores them."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness.metrics import coco_map
from harness.tasks import Detections, rle
from harness.tasks.detections import pack

H, W = 40, 60
#: of the annotations, more than the model has, in another order
CATEGORIES = {3: "cat", 0: "dog", 17: "fox", 5: "hen"}
CLASSES = ("fox", "cow", "cat", "dog")

Content = dict[str, Any]


def random_truth(rng: np.random.Generator) -> Content:
    """COCO as pycocotools takes it: crowds, polygons, run lengths, images without objects."""
    images = [
        {"id": int(one), "file_name": f"{one}.png", "height": H, "width": W}
        for one in rng.choice(1000, 6, replace=False)
    ]
    annotations = []
    for at in range(int(rng.integers(1, 25))):
        x, y = rng.uniform(-3, W - 12), rng.uniform(-3, H - 12)
        w, h = rng.uniform(2, 25, 2)
        corners = [x, y, x + w, y, x + w, y + h, x + w / 3, y + h]
        crowd = int(rng.uniform() < 0.2)
        annotations.append(
            {
                "id": at + 1,
                "image_id": images[int(rng.integers(4))]["id"],
                "category_id": int(rng.choice(list(CATEGORIES))),
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": crowd,
                "segmentation": runs_of(corners, rng) if crowd else [corners],
            }
        )
    categories = [{"id": one, "name": name} for one, name in CATEGORIES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def runs_of(corners: list[float], rng: np.random.Generator) -> dict[str, Any]:
    """Run lengths of a polygon, compressed or not."""
    packed = coco_mask.merge(coco_mask.frPyObjects([corners], H, W))
    if rng.uniform() < 0.5:
        return {"size": [H, W], "counts": packed["counts"].decode()}
    mask = np.asarray(coco_mask.decode(packed), np.bool_)
    return {"size": [H, W], "counts": rle.encode(mask, (H, W)).tolist()}


def random_predictions(truth: Content, rng: np.random.Generator) -> dict[str, Any]:
    """Near the truth and at random, with equal scores, over some of the images."""
    rows = []
    names = dict(CATEGORIES)
    for image in truth["images"][: int(rng.integers(3, 7))]:
        mine = [one for one in truth["annotations"] if one["image_id"] == image["id"]]
        boxes = [np.array(one["bbox"]) + rng.normal(0, 1, 4) for one in mine for _ in range(2)]
        labels = [names[one["category_id"]] for one in mine for _ in range(2)]
        extra = int(rng.integers(0, 4)) + (130 if rng.uniform() < 0.1 else 0)
        boxes += [rng.uniform(1, 20, 4) for _ in range(extra)]
        labels += [str(rng.choice(CLASSES)) for _ in range(extra)]
        kept = [at for at, name in enumerate(labels) if name in CLASSES]
        xywh = np.array([boxes[at] for at in kept]).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + np.maximum(xywh[:, 2:], 0.5)], 1)
        xyxy = np.clip(xyxy, 0, (W, H, W, H)).astype(np.float32)
        found = Detections(
            xyxy,
            rng.choice([0.1, 0.4, 0.4, 0.9, 1.0], len(kept)).astype(np.float32),
            np.array([CLASSES.index(labels[at]) for at in kept], np.int32),
            tuple(mask_of(box) for box in xyxy),
        )
        rows.append((image["id"], (H, W), found))
    return pack(rows)


def mask_of(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box.round().astype(int).tolist()
    mask = np.zeros((H, W), np.bool_)
    mask[y0:y1, x0 : x1 + 1] = True
    return rle.encode(mask, (H, W))


def by_pycocotools(truth: Content, predictions: dict[str, Any], kind: str) -> list[float]:
    """mAP50-95 and mAP50 over the model's classes and the images looked at."""
    ids = {name: one for one, name in CATEGORIES.items()}
    results, start = [], 0
    for at, end in enumerate(predictions["rle_end"].tolist()):
        runs, start = predictions["rle"][start:end].tolist(), end
        name = CLASSES[predictions["label"][at]]
        if name in ids:
            x0, y0, x1, y1 = predictions["box"][at].astype(float).tolist()
            counted = {"size": [H, W], "counts": runs}
            shape = {"bbox": [x0, y0, x1 - x0, y1 - y0]}
            if kind == "segm":
                shape = {"segmentation": coco_mask.frPyObjects(counted, H, W)}
            result = {"image_id": int(predictions["image_id"][at]), "category_id": ids[name]}
            results.append({**result, **shape, "score": float(predictions["score"][at])})
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = COCO()
        wanted.dataset = copy.deepcopy(truth)
        wanted.createIndex()
        evaluation = COCOeval(wanted, wanted.loadRes(results), kind)
        evaluation.params.imgIds = predictions["image_size"][:, 0].tolist()
        evaluation.params.catIds = [ids[name] for name in CLASSES if name in ids]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:2]]


def oddly(truth: Content, rng: np.random.Generator) -> Content:
    """The same, as one tool or another would have written it."""
    content = copy.deepcopy(truth)
    content |= {"info": {"year": "", "version": 1.0}, "licenses": None}
    for image in content["images"]:
        image |= {"license": None, "date_captured": 0}
        if rng.uniform() < 0.5:
            image["id"] = str(image["id"])
    for one in content["annotations"]:
        odd = rng.uniform(size=8) < 0.3
        one["id"] = one["id"] - 1 if odd[0] else f"a{one['id']}"
        one["image_id"] = str(one["image_id"]) if odd[1] else float(one["image_id"])
        one["category_id"] = str(one["category_id"]) if odd[2] else one["category_id"]
        one["bbox"] = [str(part) for part in one["bbox"]] if odd[3] else one["bbox"]
        if odd[4]:
            one["area"] = float("nan")
        if not one["iscrowd"]:
            one["iscrowd"] = [None, False, "0", ""][int(rng.integers(4))]
            if odd[6]:
                one["segmentation"] = one["segmentation"][0]
            elif odd[7]:
                flat = one["segmentation"][0]
                one["segmentation"] = [[flat[at : at + 2] for at in range(0, len(flat), 2)]]
    stray = {"id": 10**6, "image_id": 5000, "category_id": 3, "bbox": [1, 1, 9, 9]}
    content["annotations"].append(stray)
    content["categories"].insert(0, {"id": 99, "name": "fox", "supercategory": "none"})
    return content


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(40))
def test_scores_are_those_of_pycocotools_however_it_is_written(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    predictions = random_predictions(truth, rng)
    path = tmp_path / "annotations.json"
    for content in (truth, oddly(truth, rng)):
        path.write_text(json.dumps(content) + " " * (content is truth))
        seen = coco_map.score(predictions, path, CLASSES)
        for prefix, kind in (("", "bbox"), ("mask_", "segm")):
            wanted = by_pycocotools(truth, predictions, kind) if len(predictions["score"]) else []
            if wanted and wanted[0] >= 0:
                both = [seen[f"{prefix}map50_95"], seen[f"{prefix}map50"]]
                assert both == pytest.approx(wanted, abs=1e-6)
            else:
                assert set(seen.values()) <= {0.0}


def test_an_annotation_of_id_0_can_be_found(tmp_path: Path) -> None:
    """Which pycocotools itself takes for one that is missed."""
    truth = random_truth(np.random.default_rng(1))
    for at, one in enumerate(truth["annotations"]):
        one |= {"id": at, "iscrowd": 0, "category_id": 3}
    truth["annotations"] = truth["annotations"][:1]
    (one,) = truth["annotations"]
    x, y, w, h = one["bbox"]
    box = np.array([(x, y, x + w, y + h)], np.float32)
    score, label = np.ones(1, np.float32), np.full(1, CLASSES.index("cat"), np.int32)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(truth))
    seen = coco_map.score(
        pack([(one["image_id"], (H, W), Detections(box, score, label))]), path, CLASSES
    )
    assert seen == pytest.approx({"map50_95": 1.0, "map50": 1.0}, abs=1e-12)
