"""COCO metrics of a network on the validation set.

python evaluate.py --weights weights.pt --data data/val
"""

import argparse
import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from generate import INPUT_SIZE, letterbox
from network import load
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.nn import functional

LEAST_SCORE = 0.01
"""Detections below this score are dropped."""

MOST_OVERLAP = 0.6
"""Of two detections with a larger IoU than this, the one with the lower score is dropped."""

MOST_DETECTIONS = 30
"""Detections kept per picture."""


def suppress(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Greedy non-maximum suppression; indices of the boxes (N, 4) kept, best first."""
    order = list(np.argsort(-scores)[:300])
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
    kept: list[int] = []
    while order and len(kept) < MOST_DETECTIONS:
        best = order.pop(0)
        kept.append(int(best))
        rest = np.array(order, int)
        near = np.maximum(boxes[rest, :2], boxes[best, :2])
        far = np.minimum(boxes[rest, 2:], boxes[best, 2:])
        common = (far - near).clip(0).prod(1)
        union = areas[rest] + areas[best] - common
        order = list(rest[common <= MOST_OVERLAP * union])
    return kept


def crop_mask(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A copy of `mask` (H, W), zero outside `box` (xyxy in pixels)."""
    left, top, right, bottom = np.rint(box).astype(int)
    cropped = np.zeros_like(mask)
    cropped[top:bottom, left:right] = mask[top:bottom, left:right]
    return cropped


@torch.no_grad()
def detect(model: nn.Module, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the cards of an RGB image (H, W, 3).

    Returns boxes (N, 4), xyxy in its pixels; scores (N,); and masks (N, H, W) of uint8 0 or 1.
    """
    height, width = image.shape[:2]
    canvas, scale, left, top = letterbox(image)
    inputs = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255
    boxes, scores, coeffs, protos = (output[0] for output in model(inputs))
    likely = scores[:, 0] >= LEAST_SCORE
    boxes, scores, coeffs = boxes[likely].numpy(), scores[likely, 0].numpy(), coeffs[likely]
    kept = suppress(boxes, scores)
    if not kept:
        return np.zeros((0, 4)), np.zeros(0), np.zeros((0, height, width), np.uint8)
    logits = torch.einsum("nk,khw->nhw", coeffs[kept], protos)[None]
    size = round(INPUT_SIZE / scale)
    logits = functional.interpolate(logits, (size, size), mode="bilinear")[0]
    row, column = round(top / scale), round(left / scale)
    masks = (logits[:, row : row + height, column : column + width] > 0).numpy().astype(np.uint8)
    found = (boxes[kept] - (left, top, left, top)) / scale
    found = found.clip(0, (width, height, width, height))
    cropped = [crop_mask(mask, box) for mask, box in zip(masks, found, strict=True)]
    return found, scores[kept], np.stack(cropped)


def evaluate(model: nn.Module, data: Path) -> dict[str, float]:
    """Box and mask mAP (50-95 and 50) of a network in evaluation mode on the set in `data`."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet):
        truth = COCO(str(data / "annotations.json"))
    results = []
    for entry in truth.loadImgs(truth.getImgIds()):
        picture = cv2.imread(str(data / "images" / entry["file_name"]))
        boxes, scores, masks = detect(model, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        for box, score, mask in zip(boxes, scores, masks, strict=True):
            results.append(
                {
                    "image_id": entry["id"],
                    "category_id": 1,
                    "score": float(score),
                    "bbox": [*map(float, box[:2]), *map(float, box[2:] - box[:2])],
                    "segmentation": coco_mask.encode(np.asfortranarray(mask)),
                }
            )
    metrics = {}
    for name, kind in (("box", "bbox"), ("mask", "segm")):
        stats = np.zeros(12)
        if results:
            with contextlib.redirect_stdout(quiet):
                judge = COCOeval(truth, truth.loadRes(results), kind)
                judge.evaluate()
                judge.accumulate()
                judge.summarize()
            stats = judge.stats
        metrics[f"{name}_map"] = round(float(stats[0]), 4)
        metrics[f"{name}_map50"] = round(float(stats[1]), 4)
    return metrics


def main() -> None:
    """Read the command line and print the metrics as JSON."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=here / "weights.pt")
    parser.add_argument("--data", type=Path, default=here / "data" / "val")
    options = parser.parse_args()
    print(json.dumps(evaluate(load(options.weights), options.data)))


if __name__ == "__main__":
    main()
