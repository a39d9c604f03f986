"""A model's detections in an image, and their layout in `predictions.npz`. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """The detections in one image, best score first.

    `boxes` (n, 4) float32 xyxy in pixels of the original image, `scores` (n,) float32, `labels`
    (n,) int32 index into the model's classes; `masks`: n arrays of COCO run lengths, uint32,
    column-major over the original image, or None for a task without masks.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    masks: tuple[NDArray[np.uint32], ...] | None = None
    #: (n, K, 3) float32: x and y in pixels of the original image, score; None: a task without
    keypoints: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)


#: image id, (height, width) of the original image, what was found there
Row = Tuple[int, Tuple[int, int], Detections]


def pack(rows: Iterable[Row]) -> dict[str, NDArray[Any]]:
    """Arrays of `predictions.npz`, sorted by image; `rle` and `rle_end` only with masks."""
    ordered = sorted(rows, key=lambda row: row[0])
    found = [detections for _, _, detections in ordered]
    counts = [len(detections) for detections in found]
    ids = np.array([image_id for image_id, _, _ in ordered], np.int64)
    sizes = [(image_id, *size) for image_id, size, _ in ordered]
    arrays: dict[str, NDArray[Any]] = {
        "image_id": np.repeat(ids, counts),
        "box": joined([d.boxes for d in found], np.float32).reshape(-1, 4),
        "score": joined([d.scores for d in found], np.float32),
        "label": joined([d.labels for d in found], np.int32),
        "image_size": np.array(sizes, np.int64).reshape(-1, 3),
    }
    if any(d.masks is not None for d in found):
        runs = [mask for d in found for mask in d.masks or ()]
        if len(runs) != sum(counts):
            raise ValueError(f"{sum(counts)} detections, but {len(runs)} masks")
        arrays["rle"] = joined(runs, np.uint32)
        arrays["rle_end"] = np.cumsum([len(mask) for mask in runs], dtype=np.int64)
    points = [d.keypoints for d in found if d.keypoints is not None]
    if points:
        arrays["keypoints"] = np.concatenate(points).astype(np.float32)
    return arrays


def joined(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """All parts concatenated; may be empty."""
    return np.concatenate([np.zeros(0, dtype), *(part.reshape(-1) for part in parts)]).astype(dtype)


def unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Row]:
    """The inverse of `pack`; includes images without detections."""
    image_ids, rows = arrays["image_id"], []
    for image_id, height, width in arrays["image_size"].tolist():
        first, last = np.searchsorted(image_ids, (image_id, image_id + 1)).tolist()
        part = slice(first, last)
        found = Detections(
            arrays["box"][part],
            arrays["score"][part],
            arrays["label"][part],
            unpacked_masks(arrays, first, last),
            arrays["keypoints"][part] if "keypoints" in arrays else None,
        )
        rows.append((image_id, (height, width), found))
    return rows


def unpacked_masks(
    arrays: Mapping[str, NDArray[Any]], first: int, last: int
) -> tuple[NDArray[np.uint32], ...] | None:
    """Run lengths of detections first..last, or None if the task has no masks."""
    if "rle" not in arrays:
        return None
    rle, ends = arrays["rle"], arrays["rle_end"]
    start = int(ends[first - 1]) if first else 0
    return (
        tuple(np.split(rle[start : int(ends[last - 1])], ends[first : last - 1] - start))
        if (last > first)
        else ()
    )
