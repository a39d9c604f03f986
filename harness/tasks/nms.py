"""Non-maximum suppression. Numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every pair of boxes (n, 4), (m, 4) xyxy: (n, m); 0 for empty."""
    near = np.maximum(a[:, None, :2], b[None, :, :2])
    far = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(far - near, 0)
    overlap = sides[..., 0] * sides[..., 1]
    total = area(a)[:, None] + area(b)[None, :] - overlap
    ratio: NDArray[np.float32] = np.zeros_like(overlap)
    np.divide(overlap, total, out=ratio, where=total > 0)
    return ratio


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas (n,) of boxes (n, 4) xyxy; 0 for one turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int32],
    *,
    iou_threshold: float,
    limit: int,
) -> NDArray[np.intp]:
    """Greedy, class-aware non-maximum suppression: at most `limit` indices, best score first.

    A box is dropped if a kept box of its class with a higher score (ties: an earlier one)
    overlaps it by more than `iou_threshold`. One vectorised sweep per kept box.
    """
    left = np.argsort(-scores, kind="stable")
    keep: list[np.intp] = []
    while len(left) and len(keep) < limit:
        best, left = left[0], left[1:]
        keep.append(best)
        overlap = iou(boxes[best : best + 1], boxes[left])[0]
        left = left[(overlap <= iou_threshold) | (labels[left] != labels[best])]
    return np.array(keep, np.intp)
