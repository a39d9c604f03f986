"""Masks from prototypes, at the original image's resolution, inside the box only. Numpy only.

After YOLACT (Bolya et al., 2019): mask = sigmoid(coefficients @ prototypes), cropped to the box.
The logits are interpolated, so that sigmoid > 0.5 is logit > 0 and no sigmoid is needed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Sequence

import numpy as np

from . import rle
from .letterbox import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assemble(
    boxes: NDArray[np.float32],
    coeffs: NDArray[np.float32],
    protos: NDArray[np.float32],
    geometry: Geometry,
    size: Sequence[int],
) -> tuple[NDArray[np.uint32], ...]:
    """Run lengths of n masks over the original image.

    `boxes` (n, 4) xyxy in original pixels, `coeffs` (n, K), `protos` (K, h, w) over the whole
    input, whose height and width is `size`.
    """
    _, proto_h, proto_w = protos.shape
    down, rows = resampler(geometry.height, proto_h, geometry.scale_y, geometry.top, size[0])
    across, columns = resampler(geometry.width, proto_w, geometry.scale_x, geometry.left, size[1])
    logits = (coeffs @ protos.reshape(len(protos), -1)).reshape(-1, proto_h, proto_w)
    original = (geometry.height, geometry.width)
    runs = []
    for at, (left, top, right, bottom) in enumerate(pixel_spans(boxes, geometry)):
        # only the prototype cells under the box are multiplied
        used_rows = slice(rows[top], rows[bottom - 1] + 2)
        used_columns = slice(columns[left], columns[right - 1] + 2)
        narrow = down[top:bottom, used_rows] @ logits[at, used_rows, used_columns]
        mask = narrow @ across[left:right, used_columns].T > 0
        runs.append(rle.encode(mask, original, (top, left)))
    return tuple(runs)


def pixel_spans(boxes: NDArray[np.float32], geometry: Geometry) -> list[list[int]]:
    """Left, top, right, bottom (exclusive) of the pixels with centres in a box; at least one."""
    last = np.array((geometry.width, geometry.height)) - 1
    spans = np.ceil(boxes - 0.5).astype(int)
    near = np.clip(spans[:, :2], 0, last)
    far = np.clip(spans[:, 2:], near + 1, last + 1)
    spans_list: list[list[int]] = np.concatenate([near, far], 1).tolist()
    return spans_list


@lru_cache(maxsize=64)
def resampler(
    length: int, cells: int, scale: float, offset: float, side: int
) -> tuple[NDArray[np.float32], list[int]]:
    """Bilinear weights (length, cells) of original pixels from prototype cells along one axis.

    Also the first cell that each pixel uses; it uses that and the next.
    """
    at = ((np.arange(length) + 0.5) * scale + offset) * cells / side - 0.5
    at = np.clip(at, 0, cells - 1)
    low = np.minimum(np.floor(at).astype(int), max(cells - 2, 0))
    weights = np.zeros((length, cells), np.float32)
    pixels = np.arange(length)
    weights[pixels, low] = 1 - (at - low)
    if cells > 1:
        weights[pixels, low + 1] = at - low
    return weights, low.tolist()
