"""How fast scoring is: our COCO metric against pycocotools on a synthetic set of COCO's size.

    pip install -e '.[dev]' && python benchmarks/scoring.py

5,000 pictures with 36,000 objects of 80 classes and 500,000 detections as boxes, then a tenth of it
with masks. Both sides start from the same arrays of predictions.npz and the same annotation file;
conversion and reading are in both times. Exits 1 if we are less than 50 times as fast on boxes,
or if any value differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.metrics import coco_map
from harness.tasks import rle

IMAGES, OBJECTS, DETECTIONS, CLASSES = 5_000, 36_000, 500_000, 80
SIZE = (480, 640)
LEAST_RATIO, MOST_DIFFERENCE = 50.0, 1e-6
NAMES = tuple(f"class {at}" for at in range(CLASSES))

Arrays = dict[str, NDArray[Any]]


def make(images: int, seed: int, folder: Path, masks: bool) -> tuple[Path, Arrays]:
    """Annotation file and prediction arrays: COCO's proportions, two thirds of objects found."""
    rng = np.random.default_rng(seed)
    objects, detections = images * OBJECTS // IMAGES, images * DETECTIONS // IMAGES
    owner = np.sort(rng.integers(0, images, objects))
    boxes, classes = random_boxes(rng, objects), rng.integers(0, CLASSES, objects)
    path = folder / f"annotations-{images}-{masks}.json"
    path.write_text(json.dumps(coco_content(images, owner, boxes, classes, masks)))
    near = rng.choice(objects, detections // 4)
    found = np.concatenate([jittered(rng, boxes[near]), random_boxes(rng, detections - len(near))])
    far = detections - len(near)
    labels = np.concatenate([classes[near], rng.integers(0, CLASSES, far)])
    image_id = np.concatenate([owner[near], rng.integers(0, images, far)]) + 1
    order = np.argsort(image_id, kind="stable")
    arrays: Arrays = {
        "image_id": image_id[order].astype(np.int64),
        "box": found[order].astype(np.float32),
        "score": rng.beta(1, 3, detections).astype(np.float32),
        "label": labels[order].astype(np.int32),
        "image_size": np.array([(at + 1, *SIZE) for at in range(images)], np.int64),
    }
    return path, arrays | (ellipses(arrays["box"]) if masks else {})


def random_boxes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Boxes (count, 4) xyxy of log-uniform sides, inside the picture."""
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
    near = rng.uniform(0, 1, (count, 2)) * (np.array(SIZE[::-1]) - sides)
    return np.concatenate([near, near + sides], 1)


def jittered(rng: np.random.Generator, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes as a detector finds them: corners off by some percent of the sides."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + sides * rng.normal(0, 0.06, boxes.shape)
    limits = np.tile(np.array(SIZE[::-1], float), 2)
    return np.clip(moved, 0, limits)


def coco_content(
    images: int,
    owner: NDArray[np.int64],
    boxes: NDArray[np.float64],
    classes: NDArray[np.int64],
    masks: bool,
) -> dict[str, Any]:
    """A COCO annotation file's content; with `masks`, hexagons; 1 % are crowds."""
    entries = []
    for at, (left, top, right, bottom) in enumerate(boxes.round(2).tolist()):
        width, height = right - left, bottom - top
        entry: dict[str, Any] = {
            "id": at + 1,
            "image_id": int(owner[at]) + 1,
            "category_id": int(classes[at]) + 1,
            "bbox": [left, top, width, height],
            "area": width * height,
            "iscrowd": int(at % 100 == 99 and not masks),
        }
        if masks:
            first, second, middle = left + width / 4, right - width / 4, (top + bottom) / 2
            corners = [left, middle, first, top, second, top, right, middle, second, bottom]
            entry["segmentation"] = [[*corners, first, bottom]]
        entries.append(entry)
    return {
        "images": [
            {"id": at + 1, "file_name": f"{at}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for at in range(images)
        ],
        "annotations": entries,
        "categories": [{"id": at + 1, "name": name} for at, name in enumerate(NAMES)],
    }


def ellipses(boxes: NDArray[np.float32]) -> Arrays:
    """Run lengths of the ellipse in every box (n, 4) xyxy."""
    runs = []
    for left, top, right, bottom in boxes.astype(int).tolist():
        y, x = np.mgrid[: bottom - top, : right - left] + 0.5
        inside = (2 * x / max(right - left, 1) - 1) ** 2 + (2 * y / max(bottom - top, 1) - 1) ** 2
        runs.append(rle.encode(inside <= 1, SIZE, (top, left)))
    ends = np.cumsum([len(one) for one in runs], dtype=np.int64)
    return {"rle": np.concatenate(runs), "rle_end": ends}


def by_pycocotools(arrays: Arrays, path: Path) -> dict[str, float]:
    """The same columns as `coco_map.score`, by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    values: dict[str, float] = {}
    kinds = {"": "bbox"} | ({"mask_": "segm"} if "rle" in arrays else {})
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = COCO(str(path))
        for prefix, kind in kinds.items():
            evaluation = COCOeval(wanted, results(wanted, arrays, kind), kind)
            evaluation.params.imgIds = arrays["image_size"][:, 0].tolist()
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            values |= {
                f"{prefix}map50_95": float(evaluation.stats[0]),
                f"{prefix}map50": float(evaluation.stats[1]),
            }
    return values


def results(wanted: Any, arrays: Arrays, kind: str) -> Any:
    """Predictions as pycocotools loads them: an array for boxes, dicts for masks."""
    from pycocotools import mask as coco_mask

    boxes = arrays["box"].astype(np.float64)
    corners, sizes = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    ids, scores, labels = (arrays[name] for name in ("image_id", "score", "label"))
    rows = np.column_stack([ids, corners, sizes, scores, labels + 1])
    if kind == "bbox":
        return wanted.loadRes(rows)
    ends = arrays["rle_end"].tolist()
    runs = [arrays["rle"][at:end].tolist() for at, end in zip([0, *ends[:-1]], ends, strict=True)]
    return wanted.loadRes(
        [
            {
                "image_id": int(row[0]),
                "category_id": int(row[6]),
                "score": row[5],
                "segmentation": coco_mask.frPyObjects({"size": SIZE, "counts": counts}, *SIZE),
            }
            for row, counts in zip(rows, runs, strict=True)
        ]
    )


def timed(run: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Seconds and result of one run."""
    start = time.perf_counter()
    values = run()
    return time.perf_counter() - start, values


def compare(title: str, images: int, seed: int, folder: Path, masks: bool) -> tuple[float, float]:
    """Print both times and results; returns ratio and largest difference."""
    path, arrays = make(images, seed, folder, masks)
    ours_s, ours = min(
        (timed(lambda: coco_map.score(arrays, path, NAMES)) for _ in range(3)), key=lambda x: x[0]
    )
    theirs_s, theirs = timed(lambda: by_pycocotools(arrays, path))
    difference = max(abs(ours[name] - theirs[name]) for name in theirs)
    count = len(arrays["score"])
    print(f"{title}: {images:,} pictures, {count:,} detections")
    print(f"  ours {ours_s:.3f} s (best of 3)  pycocotools {theirs_s:.2f} s (one run)")
    print(f"  ratio {theirs_s / ours_s:.1f}  largest difference {difference:.1e}")
    print("  " + "  ".join(f"{name} {value:.6f}" for name, value in ours.items()), flush=True)
    return theirs_s / ours_s, difference


def main() -> int:
    """Read the command line, compare, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="pictures with boxes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ratio, boxes = compare("boxes", options.images, options.seed, folder, False)
        _, masks = compare("boxes and masks", options.images // 10, options.seed, folder, True)
    fast = ratio >= LEAST_RATIO
    same = max(boxes, masks) <= MOST_DIFFERENCE
    print(f"{'ok' if fast else 'TOO SLOW'}: at least {LEAST_RATIO:g} times as fast on boxes")
    print(f"{'ok' if same else 'DIFFERENT'}: the same to {MOST_DIFFERENCE:g}")
    return 0 if fast and same else 1


if __name__ == "__main__":
    raise SystemExit(main())
