"""Keypoints from the decoder to the score, against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decoders_for_tests import spec_of
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness.errors import ConfigError, StepFailed
from harness.metrics import REGISTRY as METRICS
from harness.metrics.oks import keypoint_notes, sigmas
from harness.metrics.truth import read
from harness.tasks import REGISTRY, unpack
from harness.tasks.detections import Detections, pack
from harness.tasks.letterbox import Geometry
from harness.untrusted.results import read_predictions

TASK, OKS = REGISTRY["keypoints"], METRICS["oks"]
SIZE = (200, 300)


def test_points_come_back_to_the_image_and_stay_with_their_boxes() -> None:
    rows = np.array(
        [
            [32, 32, 20, 20, 0.5, 30, 31, 0.9, 0, 70, 0.2],
            [10, 10, 8, 8, 0.9, 8, 9, 1.0, 12, 11, 0.5],
            [33, 32, 20, 20, 0.4, 1, 1, 1, 1, 1, 1],  # falls to the first in NMS
        ],
        np.float32,
    )
    outputs = {"output0": rows.T[None]}
    spec = replace(spec_of("yolov8-pose", outputs, 1), task="keypoints")
    geometry = Geometry(32, 32, 2.0, 2.0, 0.0, 4.0)
    TASK.check(outputs, spec)
    found = TASK.postprocess(outputs, geometry, spec, score_threshold=0.3)
    assert found.boxes.tolist() == [[3, 1, 7, 5], [11, 9, 21, 19]]
    assert found.keypoints is not None
    np.testing.assert_allclose(
        found.keypoints,
        [[[4, 2.5, 1], [6, 3.5, 0.5]], [[15, 13.5, 0.9], [0, 33, 0.2]]],
        rtol=1e-6,
    )


def test_packed_keypoints_come_back() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (
            at,
            SIZE,
            Detections(
                rng.uniform(0, 9, (count, 4)).astype(np.float32),
                rng.uniform(0, 1, count).astype(np.float32),
                np.zeros(count, np.int32),
                keypoints=rng.normal(size=(count, 5, 3)).astype(np.float32),
            ),
        )
        for at, count in enumerate((2, 0, 3))
    ]
    for (_, _, found), (_, _, wanted) in zip(unpack(pack(rows)), rows, strict=True):
        assert found.keypoints is not None
        np.testing.assert_array_equal(found.keypoints, wanted.keypoints)
        assert found.masks is None


def test_keypoints_of_another_number_of_boxes_are_refused(tmp_path: Path) -> None:
    found = Detections(
        np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.zeros(2, np.int32),
        keypoints=np.zeros((2, 3, 3), np.float32),
    )  # fmt: skip
    arrays = pack([(1, SIZE, found)])
    path = tmp_path / "predictions.npz"
    np.savez(path, **arrays)
    assert read_predictions(path)["keypoints"].shape == (2, 3, 3)
    np.savez(path, **{**arrays, "keypoints": arrays["keypoints"][:1]})
    with pytest.raises(StepFailed, match="arrays differ in length"):
        read_predictions(path)


# ---- OKS -----------------------------------------------------------------------------------------


def people(
    folder: Path, seed: int, count: int = 17, images: int = 4
) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Annotations of people, some without marks, and predictions near them."""
    rng = np.random.default_rng(seed)
    annotations, rows = [], []
    for image in range(images):
        boxes, points, scores = [], [], []
        for _ in range(int(rng.integers(1, 5))):
            x, y, w, h = rng.uniform(0, 100), rng.uniform(0, 60), *rng.uniform(40, 120, 2)
            own = np.stack([rng.uniform(x, x + w, count), rng.uniform(y, y + h, count)], 1)
            seen = rng.integers(0, 3, count) * (rng.uniform() < 0.9)
            marks = np.concatenate([own * (seen > 0)[:, None], seen[:, None]], 1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image * 2 + 3,
                    "category_id": 7,
                    "bbox": [x, y, w, h],
                    "area": w * h * 0.6,
                    "iscrowd": int(rng.uniform() < 0.1),
                    "keypoints": marks.ravel().tolist(),
                    "num_keypoints": int((seen > 0).sum()),
                }
            )
            for spread in (2, 8, 30):
                near = own + rng.normal(0, spread, own.shape)
                boxes.append((x, y, x + w, y + h))
                points.append(np.concatenate([near, rng.uniform(0, 1, (count, 1))], 1))
                scores.append(rng.choice([0.2, 0.5, 0.9]))
        found = Detections(
            np.array(boxes, np.float32),
            np.array(scores, np.float32),
            np.zeros(len(boxes), np.int32),
            keypoints=np.array(points, np.float32),
        )
        rows.append((image * 2 + 3, SIZE, found))
    content = {
        "images": [
            {"id": n * 2 + 3, "file_name": f"{n}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for n in range(images)
        ],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "person"}],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path, pack(rows)


def by_pycocotools(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[float, float]:
    results = [
        {
            "image_id": int(image_id),
            "category_id": 7,
            "score": float(score),
            "keypoints": points.astype(float).ravel().tolist(),
        }
        for image_id, score, points in zip(
            arrays["image_id"], arrays["score"], arrays["keypoints"], strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas(arrays["keypoints"].shape[1]))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("count", [17, 5])
@pytest.mark.parametrize("seed", range(4))
def test_oks_is_that_of_pycocotools(tmp_path: Path, seed: int, count: int) -> None:
    path, arrays = people(tmp_path, seed, count)
    found = OKS.score(arrays, path, ("person",))
    map50_95, map50 = by_pycocotools(path, arrays)
    assert 0 < map50_95 < 1
    assert found == {
        "keypoint_map50_95": pytest.approx(map50_95, abs=1e-6),
        "keypoint_map50": pytest.approx(map50, abs=1e-6),
    }


def test_the_17_joints_have_coco_s_sigmas_and_others_their_share() -> None:
    assert sigmas(17)[:3] == [0.026, 0.025, 0.025]
    assert sigmas(4) == [0.25] * 4


def test_nobody_found_is_0_and_nobody_marked_is_unknown(tmp_path: Path) -> None:
    path, arrays = people(tmp_path, 0)
    none = {k: v[:0] for k, v in arrays.items() if k != "image_size"}
    none["image_size"] = arrays["image_size"]
    assert OKS.score(none, path, ("person",)) == {"keypoint_map50_95": 0.0, "keypoint_map50": 0.0}
    content = json.loads(path.read_text())
    for one in content["annotations"]:
        del one["keypoints"]
    path.write_text(json.dumps(content))
    assert OKS.score(arrays, path, ("person",)) == {}
    total = len(content["annotations"])
    assert keypoint_notes(read(path)) == (
        f"{total} of {total} annotations have no keypoints (first annotations[0])",
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_keypoints_that_are_no_numbers_are_nobody_found(tmp_path: Path, bad: float) -> None:
    path, arrays = people(tmp_path, 0)
    arrays["keypoints"] = np.full_like(arrays["keypoints"], bad)
    assert OKS.score(arrays, path, ("person",)) == {"keypoint_map50_95": 0.0, "keypoint_map50": 0.0}


def test_another_number_of_keypoints_than_the_model_s_is_named(tmp_path: Path) -> None:
    path, arrays = people(tmp_path, 0)
    arrays["keypoints"] = arrays["keypoints"][:, :5]
    with pytest.raises(ConfigError) as caught:
        OKS.score(arrays, path, ("person",))
    assert caught.value.mistakes[0] == (
        f"{path}: annotations[0].keypoints: expected 15 numbers, got 51 numbers"
    )
