from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import StepFailed
from harness.records import ModelSpec, Scores, TensorSpec
from harness.steps.score import score
from harness.tasks import Detections, rle
from harness.tasks.detections import pack
from harness.untrusted.results import read_predictions

SPEC = ModelSpec(
    name="rio",
    task="instance-segmentation",
    module="network.py",
    function="load",
    weights="weights.pt",
    weights_sha256="",
    inputs=(TensorSpec("images", (1, 3, 320, 320)),),
    outputs=("boxes", "scores", "coeffs", "protos"),
    classes=("card",),
)
SIZE = (20, 30)


def dataset(folder: Path) -> tuple[Path, str]:
    """One picture with one card."""
    content = {
        "images": [{"id": 4, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [
            {
                "id": 1,
                "image_id": 4,
                "category_id": 7,
                "bbox": [5, 5, 10, 8],
                "area": 80,
                "iscrowd": 0,
                "segmentation": [[5, 5, 15, 5, 15, 13, 5, 13]],
            }
        ],
        "categories": [{"id": 7, "name": "card"}],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path, "toy"


def predictions() -> dict[str, Any]:
    """The card, found exactly."""
    runs = rle.encode(np.ones((8, 10), np.bool_), SIZE, (5, 5))
    box = np.array([(5, 5, 15, 13)], np.float32)
    found = Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), (runs,))
    return pack([(4, SIZE, found)])


def test_a_card_found_exactly_scores_one(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez_compressed(path, **predictions())
    names = ("map50_95", "map50", "mask_map50_95", "mask_map50")
    wanted = Scores("toy", 1, {name: pytest.approx(1) for name in names}, "coco-map")  # type: ignore[misc]
    assert score(SPEC, path, *dataset(tmp_path)) == wanted


def test_a_damaged_file_is_a_failed_step(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    for content in (b"", b"PK", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(StepFailed, match=r"predictions\.npz: unreadable: not an archive"):
            read_predictions(path)


def test_missing_and_uneven_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    arrays = predictions()
    np.savez(path, **{name: arrays[name] for name in ("image_id", "box", "score")})
    with pytest.raises(StepFailed) as caught:
        read_predictions(path)
    assert caught.value.message == f"{path}: unreadable: missing arrays: label, image_size"
    np.savez(path, **{**arrays, "score": np.zeros(2, np.float32)})
    with pytest.raises(StepFailed, match="arrays differ in length: .*'score': 2"):
        read_predictions(path)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 2000), byte=st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused_in_words(tmp_path: Path, at: int, byte: int) -> None:
    path = tmp_path / "predictions.npz"
    np.savez_compressed(path, **predictions())
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(bytes(data))
    try:
        arrays = read_predictions(path)
    except StepFailed:
        return
    assert len(arrays["image_id"]) == len(arrays["score"])
