"""How soon a dataset of COCO val2017's size is read and checked, against `json.load` alone.

    pip install -e '.[dev]' && python benchmarks/datasets.py

5,000 images with 36,800 outlined objects of 80 classes, as COCO and as label files of YOLO; the
images are links to one JPEG. What `bench plan` does with it is timed: annotations, images' names,
that they are there. Exits 1 if COCO takes longer than 2 s, or than 3 times `json.load`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.metrics import truth
from harness.steps import datasets
from harness.steps.dataset_kinds.source import Source

IMAGES, OBJECTS, CLASSES, CORNERS = 5_000, 36_800, 80, 24
HEIGHT, WIDTH = 480, 640
MOST_S, MOST_RATIO = 2.0, 3.0


def coco(folder: Path, seed: int) -> Path:
    """Annotation file with outlines of `CORNERS` corners, as long as COCO's own."""
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, IMAGES, OBJECTS)).tolist()
    label = rng.integers(0, CLASSES, OBJECTS).tolist()
    middle = rng.uniform(0.2, 0.8, (OBJECTS, 1, 2))
    corners = middle + rng.uniform(-0.2, 0.2, (OBJECTS, CORNERS, 2))
    pixels = (corners * (WIDTH, HEIGHT)).round(2)
    near, far = pixels.min(axis=1), pixels.max(axis=1)
    boxes = np.concatenate([near, far - near], axis=1).round(2).tolist()
    outlines = pixels.reshape(OBJECTS, -1).tolist()
    annotations = [
        {
            "segmentation": [outlines[at]],
            "area": boxes[at][2] * boxes[at][3] / 2,
            "iscrowd": 0,
            "image_id": owner[at] + 1,
            "bbox": boxes[at],
            "category_id": label[at] + 1,
            "id": at + 1,
        }
        for at in range(OBJECTS)
    ]
    images = [
        {
            "license": 4,
            "file_name": f"{at + 1:012}.jpg",
            "coco_url": f"http://images.example/val2017/{at + 1:012}.jpg",
            "height": HEIGHT,
            "width": WIDTH,
            "date_captured": "2013-11-14 17:02:52",
            "id": at + 1,
        }
        for at in range(IMAGES)
    ]
    categories = [{"id": at + 1, "name": f"class {at}"} for at in range(CLASSES)]
    path = folder / "instances_val2017.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def yolo(folder: Path, path: Path) -> Path:
    """The same as label files."""
    lines: dict[int, list[str]] = {}
    for one in json.loads(path.read_bytes())["annotations"]:
        shares = np.array(one["segmentation"][0]).reshape(-1, 2) / (WIDTH, HEIGHT)
        text = " ".join(f"{part:.6f}" for part in shares.reshape(-1).clip(0, 1).tolist())
        lines.setdefault(one["image_id"], []).append(f"{one['category_id'] - 1} {text}")
    (folder / "labels/val2017").mkdir(parents=True)
    for number, own in lines.items():
        (folder / f"labels/val2017/{number:012}.txt").write_text("\n".join(own) + "\n")
    names = json.dumps([f"class {at}" for at in range(CLASSES)])
    (folder / "data.yaml").write_text(f"val: images/val2017\nnames: {names}\n")
    return folder / "data.yaml"


def images(folder: Path) -> Path:
    """So many names of one JPEG."""
    made = folder / "images/val2017"
    made.mkdir(parents=True)
    first = folder / "one.jpg"
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 30)).save(first)
    for at in range(IMAGES):
        os.link(first, made / f"{at + 1:012}.jpg")
    return made


def seconds(call: Callable[[], Any]) -> float:
    """CPU time of one call, as after a start: nothing is remembered in this process."""
    truth._read.cache_clear()
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> int:
    """Print the times; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BENCH_CACHE"] = str(folder / "cache")
        pictures, path = images(folder), coco(folder, 0)
        plain = min(seconds(lambda: json.loads(path.read_bytes())) for _ in range(3))
        source = Source(path, images=pictures)
        own = min(seconds(lambda: datasets.read_annotations(source)) for _ in range(3))
        print(f"{path.stat().st_size / 1e6:.1f} MB, {IMAGES:,} images, {OBJECTS:,} objects")
        print(f"json.load   {plain:6.2f} s")
        print(f"COCO        {own:6.2f} s   {own / plain:.1f} x json.load")
        labels = Source(yolo(folder, path))
        first = seconds(lambda: datasets.read_annotations(labels))
        again = seconds(lambda: datasets.read_annotations(labels))
        print(f"YOLO, first {first:6.2f} s   and the headers of all images, in another process")
        print(f"YOLO, again {again:6.2f} s")
    return int(own > MOST_S or own > MOST_RATIO * plain)


if __name__ == "__main__":
    sys.exit(main())
