"""Reads and checks the files that jobs of each mode write."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import StepFailed
from .arrays import SIDES, Column, read_arrays, vast

Arrays = dict[str, NDArray[Any]]

STAMPS: Final = ("latency_ns", "start_ns")
_OTHERS: Final = ("scheduled_ns", "turn_ns", "warmup_ns", "pre_ns", "infer_ns", "post_ns", "e2e_ns")
SAMPLES: Final = {name: Column("iu", required=name in STAMPS) for name in (*STAMPS, *_OTHERS)}
#: of an older or a newer bench
KNOWN_SAMPLES: Final = {name: Column("iu", required=name == STAMPS[0]) for name in SAMPLES}
PREDICTIONS: Final = {
    "image_id": Column("i"),
    "box": Column("f", (None, 4)),
    "score": Column("f"),
    "label": Column("i"),
    "image_size": Column("i", (None, 3)),
    "rle": Column("u", required=False),
    "rle_end": Column("i", required=False),
    "keypoints": Column("f", (None, None, 3), required=False),
}
#: maximum pixels per side of an image
LONGEST_SIDE: Final = 1 << 20


def read_samples(
    path: Path, root: Path | None = None, columns: Mapping[str, Column] = KNOWN_SAMPLES
) -> Arrays:
    """Times of a trial, int64 ns, at least one. Raises StepFailed."""
    arrays = read_arrays(path, columns, root, others=columns is KNOWN_SAMPLES)
    if not len(arrays["latency_ns"]):
        raise StepFailed(f"{path}: no samples")
    for name, array in arrays.items():
        if array.dtype.kind == "u" and array.size and int(array.max()) >= 1 << 63:
            raise StepFailed(f"{path}: {name} has values beyond int64")
    return {name: array.astype(np.int64, copy=False) for name, array in arrays.items()}


def check_samples(path: Path) -> None:
    """Check a trial that has just ended: no array is missing, and there are no others."""
    arrays = read_samples(path, columns=SAMPLES)
    lengths = {name: len(arrays[name]) for name in STAMPS}
    if len(set(lengths.values())) > 1:
        raise StepFailed(f"{path}: arrays differ in length: {lengths}")


def read_outputs(path: Path, names: Collection[str], samples: int) -> list[Arrays]:
    """Raw outputs by name, of each of `samples`; may contain NaN. Raises StepFailed.

    One whose shape differs between samples is flat, with its shapes in `NAME:shapes`.
    """
    shapes = {f"{name}:shapes": Column("i", (samples, None), required=False) for name in names}
    values = dict.fromkeys(names, Column("biuf", None, nan=True))
    arrays = read_arrays(path, {**values, **shapes})
    rows: list[Arrays] = [{} for _ in range(samples)]
    for name in names:
        shapes_of = arrays.get(f"{name}:shapes")
        if shapes_of is None and len(arrays[name]) != samples:
            seen = f"{len(arrays[name]):,} rows, expected {samples:,}"
            raise StepFailed(f"{path}: {ascii(name)} has {seen}")
        split = list(arrays[name]) if shapes_of is None else _ragged(arrays[name], shapes_of)
        if not split and samples:
            raise StepFailed(f"{path}: {ascii(name)} has other shapes than its values")
        for row, value in zip(rows, split, strict=True):
            row[name] = np.asarray(value)
    return rows


def _ragged(values: NDArray[Any], shapes: NDArray[Any]) -> list[NDArray[Any]]:
    """The parts of flat values; none if the shapes are not those of all of them."""
    sides = [tuple(row) for row in shapes.tolist()]
    if values.ndim != 1 or shapes.shape[1] > SIDES or any(map(_impossible, sides)):
        return []
    lengths = [math.prod(row) for row in sides]
    if sum(lengths) != len(values):
        return []
    ends = np.cumsum(np.array(lengths, np.int64))
    parts = (values[end - length : end] for end, length in zip(ends, lengths, strict=True))
    return [part.reshape(row) for part, row in zip(parts, sides, strict=True)]


def _impossible(shape: tuple[int, ...]) -> bool:
    return any(side < 0 for side in shape) or vast(shape)


def read_predictions(path: Path, root: Path | None = None, *, images: int | None = None) -> Arrays:
    """Detections on `images` images; see docs/reference/run-folder.md. Raises StepFailed."""
    arrays = read_arrays(path, PREDICTIONS, root)
    lengths = {name: len(arrays[name]) for name in ("image_id", "box", "score", "label")}
    more = [name for name in ("rle_end", "keypoints") if name in arrays]
    lengths.update({name: len(arrays[name]) for name in more})
    if len(set(lengths.values())) > 1:
        raise StepFailed(f"{path}: arrays differ in length: {lengths}")
    if wrong := _wrong_pictures(arrays, images) or _wrong_masks(arrays):
        raise StepFailed(f"{path}: {wrong}")
    return arrays


def _wrong_pictures(arrays: Arrays, images: int | None) -> str:
    ids, sizes = arrays["image_size"][:, 0], arrays["image_size"][:, 1:]
    if images is not None and len(ids) != images:
        return f"{len(ids):,} images, expected {images:,}"
    if len(np.unique(ids)) != len(ids):
        return "duplicate image"
    if sizes.size and not (sizes.min() > 0 and sizes.max() <= LONGEST_SIDE):
        return "an image has an invalid size"
    if (np.diff(arrays["image_id"]) < 0).any() or not np.isin(arrays["image_id"], ids).all():
        return "detections are not in the order of their images"
    if arrays["label"].size and arrays["label"].min() < 0:
        return "a label is negative"
    return ""


def _wrong_masks(arrays: Arrays) -> str:
    """The runs of each mask must cover its image exactly, which a scorer in C relies on."""
    if ("rle" in arrays) != ("rle_end" in arrays):
        return "masks without their ends"
    if "rle" not in arrays:
        return ""
    runs, ends = arrays["rle"], arrays["rle_end"]
    last = int(ends[-1]) if len(ends) else 0
    if last != len(runs) or (np.diff(ends, prepend=0) <= 0).any():
        return "the ends of its masks are not in order"
    order = np.argsort(arrays["image_size"][:, 0])
    rows = order[np.searchsorted(arrays["image_size"][order, 0], arrays["image_id"])]
    height, width = arrays["image_size"][rows, 1], arrays["image_size"][rows, 2]
    if runs.size and int(runs.max()) >= 1 << 31:
        return "a mask is larger than its image"
    covered = np.diff(np.append(0, np.cumsum(runs, dtype=np.int64))[ends], prepend=0)
    return "" if (covered == height * width).all() else "a mask does not cover its image"
