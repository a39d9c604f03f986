"""Pictures of predictions: which are chosen, and what is drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from example_run.run import example
from numpy.typing import NDArray
from PIL import Image

from harness.errors import BenchError
from harness.report.build import build
from harness.report.page import cell_href
from harness.report.panels import detected, draw, jpeg
from harness.report.pictures import CocoPictures, choose, difference, read_predictions
from harness.tasks.detections import Detections, pack
from harness.tasks.rle import encode

SIZE = (120, 160)


def found(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    masks = []
    for x0, y0, x1, y1 in boxes:
        mask = np.ones((int(y1 - y0), int(x1 - x0)), bool)
        masks.append(encode(mask, SIZE, (int(y0), int(x0))))
    array = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.full(len(boxes), score, np.float32)
    return Detections(array, scores, np.zeros(len(boxes), np.int32), tuple(masks))


CARD = (20.0, 30.0, 100.0, 80.0)
NONE = found()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(1, 9):
        pixels = rng.integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        height, width = SIZE
        name = f"{number}.png"
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        outline = [20, 30, 100, 30, 100, 80, 20, 80]
        annotations.append(
            {
                "image_id": number,
                "category_id": 1,
                "segmentation": [outline],
                "bbox": [20, 30, 80, 50],
            }
        )
    cards = [{"id": 1, "name": "card"}]
    content = {"images": images, "annotations": annotations, "categories": cards}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path


def save(path: Path, by_image: dict[int, Detections]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[np.generic]] = pack((i, SIZE, d) for i, d in by_image.items())
    np.savez(path, **arrays)


def test_the_most_different_pictures_come_first() -> None:
    reference = {i: found(CARD) for i in range(1, 21)}
    mine = dict(reference) | {7: NONE, 12: found((60.0, 60.0, 120.0, 110.0))}
    chosen = choose(list(reference), mine, reference)
    assert [i for i, _ in chosen[:2]] == [12, 7]
    assert len({i for i, _ in chosen}) == 4
    assert [far for _, far in chosen[2:]] == [0.0, 0.0]


def test_a_difference_counts_partners_and_the_lonely() -> None:
    assert difference(found(CARD), found(CARD)) == 0.0
    assert difference(found(CARD), NONE) == 1.0
    assert difference(NONE, NONE) == 0.0
    assert difference(found(CARD, score=0.8), found(CARD)) == pytest.approx(0.1)


def test_panels_of_truth_reference_cell_and_crop_are_in_the_page(
    dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run = example(folder, devices=("local",), formats=("pytorch", "onnx"), samples=70)
    for result in run.results:
        save(folder / "cells" / result.cell.id / "predictions.npz",
             {i: found(CARD) for i in range(1, 9)})  # fmt: skip
    source = CocoPictures.of(dataset, folder)
    out = build(run, tmp_path / "report", source).parent
    page = (out / cell_href("rio-onnx-fp32-local-t1-b1")).read_text()
    for name in ("Ground truth", "Reference", "This cell", "Crop"):
        assert f'alt="{name} in image' in page
    files = list((out / "cells" / "rio-onnx-fp32-local-t1-b1").iterdir())
    assert len(files) == 16
    assert max(f.stat().st_size for f in files) <= 60_000
    own = (out / cell_href("rio-pytorch-fp32-local-t1-b1")).read_text()
    assert 'alt="Reference in image' not in own, "the reference is not shown beside itself"


def test_a_mask_tints_the_picture_where_it_lies() -> None:
    grey = np.full((*SIZE, 3), 100, np.uint8)
    drawn = detected(grey, found(CARD))
    assert drawn.shape == grey.shape
    assert (drawn[50, 60] != 100).any()
    assert (drawn[110, 150] == 100).all()


def test_a_picture_is_at_most_60_kilobytes() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8)
    data = jpeg(noise)
    assert len(data) <= 60_000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG"


def test_damaged_predictions_give_no_pictures(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "run" / "cells" / "rio-onnx-fp32-local-t1-b1" / "predictions.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 torn")
    assert read_predictions(path) == {}
    run = example(tmp_path / "run", devices=("local",), formats=("onnx",), samples=70)
    source = CocoPictures.of(dataset, tmp_path / "run")
    assert draw(source, run.results[0].cell, None).rows == ()


def test_a_missing_picture_is_named(dataset: Path, tmp_path: Path) -> None:
    (dataset / "images" / "1.png").unlink()
    source = CocoPictures.of(dataset, tmp_path)
    with pytest.raises(BenchError, match="1.png: cannot be decoded"):
        source.image(1)
