"""Make the business-card data: the validation set in COCO form, or a cache of training pictures.

    python generate.py val --out data/val
    python generate.py train --out CACHE

Every picture depends only on the seed, its split, and its index.  A mask is the card's
quadrilateral clipped to the frame: things lying on the card (fingers, pens) are not cut out, so
that the card's corners can be recovered from its mask.
"""

import argparse
import hashlib
import json
import multiprocessing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from geometry import area, bounds, clip
from scenes import Scene, compose, compress

SIZE = (640, 480)
"""Width and height of a picture in pixels; some training pictures are turned upright."""

INPUT_SIZE = 320
"""Side of a letterboxed training picture in pixels."""

GREY = 114
"""Padding value of a letterboxed picture."""

MOST_CARDS = 5
"""Most cards in one picture."""

SPLITS = {"train": 0, "val": 1}
"""Second part of the seed of each picture, by split."""


def rounded(values: np.ndarray) -> list[float]:
    """Flatten coordinates to a list with two decimals."""
    return [round(float(value), 2) for value in np.asarray(values).ravel()]


def annotate(quad: np.ndarray, image_id: int, annotation_id: int) -> dict:
    """COCO annotation of one card; `quad` holds its unclipped corners (4, 2) in pixels."""
    visible = clip(quad, (0, 0, *SIZE))
    left, top, right, bottom = bounds(visible)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "bbox": rounded(np.array([left, top, right - left, bottom - top])),
        "area": round(area(visible), 2),
        "segmentation": [rounded(visible)],
        "quad": rounded(quad),
        "iscrowd": 0,
    }


def validation_picture(index: int, seed: int) -> tuple[bytes, np.ndarray]:
    """JPEG bytes and card corners (N, 4, 2) of validation picture `index`."""
    rng = np.random.default_rng((seed, SPLITS["val"], index))
    scene = compose(rng, "val", *SIZE)
    return compress(scene.image, int(rng.integers(45, 93))), scene.quads


def write_validation(out: Path, count: int, seed: int, workers: int) -> None:
    """Write `count` images, annotations.json, and manifest.json below `out`."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    with multiprocessing.Pool(workers) as pool:
        pictures = pool.imap(partial(validation_picture, seed=seed), range(count), 8)
        for index, (data, quads) in enumerate(pictures):
            name = f"images/{index:06d}.jpg"
            (out / name).write_bytes(data)
            size = {"width": SIZE[0], "height": SIZE[1]}
            images.append({"id": index + 1, "file_name": Path(name).name, **size})
            for quad in quads:
                annotations.append(annotate(quad, index + 1, len(annotations) + 1))
    coco = {
        "info": {"description": "rio-val: generated business-card scenes", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "card", "supercategory": "object"}],
    }
    (out / "annotations.json").write_text(json.dumps(coco, separators=(",", ":")) + "\n")
    write_manifest(out, count)


def write_manifest(out: Path, count: int) -> None:
    """Write manifest.json: the SHA-256 of every file of the validation set."""
    paths = [out / "annotations.json", *sorted((out / "images").glob("*.jpg"))]
    files = {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
    manifest = {"name": "rio-val", "images": count, "files": files}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def letterbox(image: np.ndarray) -> tuple[np.ndarray, float, int, int]:
    """Scale an image to fit 320 x 320 and pad it with grey, centred.

    Returns the picture (320, 320, 3), the scale, and the left and top padding in pixels.
    """
    height, width = image.shape[:2]
    scale = INPUT_SIZE / max(width, height)
    size = (round(width * scale), round(height * scale))
    left, top = (INPUT_SIZE - size[0]) // 2, (INPUT_SIZE - size[1]) // 2
    canvas = np.full((INPUT_SIZE, INPUT_SIZE, 3), GREY, np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(
        image, size, interpolation=cv2.INTER_LINEAR
    )
    return canvas, scale, left, top


def training_picture(index: int, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Letterboxed picture (320, 320, 3), card corners (N, 4, 2), and the content's box (xyxy)."""
    rng = np.random.default_rng((seed, SPLITS["train"], index))
    width, height = SIZE if rng.random() < 0.7 else SIZE[::-1]
    scene: Scene = compose(rng, "train", width, height)
    data = np.frombuffer(compress(scene.image, int(rng.integers(45, 93))), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    canvas, scale, left, top = letterbox(image)
    frame = (left, top, INPUT_SIZE - left, INPUT_SIZE - top)
    return canvas, scene.quads * scale + (left, top), frame


def write_training(out: Path, count: int, seed: int, workers: int) -> None:
    """Write `count` pictures to images.npy, and their corners and frames, below `out`."""
    out.mkdir(parents=True, exist_ok=True)
    shape = (count, INPUT_SIZE, INPUT_SIZE, 3)
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, shape)
    quads = np.full((count, MOST_CARDS, 4, 2), np.nan, np.float32)
    frames = np.zeros((count, 4), np.float32)
    with multiprocessing.Pool(workers) as pool:
        pictures = pool.imap(partial(training_picture, seed=seed), range(count), 16)
        for index, (image, corners, frame) in enumerate(pictures):
            images[index], frames[index] = image, frame
            quads[index, : len(corners)] = corners
    images.flush()
    np.savez(out / "labels.npz", quads=quads, frames=frames)


def main() -> None:
    """Read the command line and write one of the two sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", choices=SPLITS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, help="pictures; 320 for val and 6000 for train")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.split == "val":
        write_validation(options.out, options.count or 320, options.seed, options.workers)
    else:
        write_training(options.out, options.count or 6000, options.seed, options.workers)


if __name__ == "__main__":
    main()
