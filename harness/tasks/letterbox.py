"""Letterboxing: the placement of an image in a model's input, and bilinear resampling.

Pixel centres are at half-integers: source coordinate = (target + 0.5) / scale - 0.5, as in OpenCV's
INTER_LINEAR and PyTorch's `align_corners=False`. Numpy only; the tables of a geometry are cached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAD = 114
"""Grey that fills a letterboxed image, in 0..255."""


@dataclass(frozen=True)
class Geometry:
    """How an image was put into the input: input = original * scale + (left, top), in pixels."""

    height: int
    width: int
    scale_x: float
    scale_y: float
    left: float
    top: float

    def to_original(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4) xyxy in input pixels -> original pixels, clipped to the image."""
        shift = np.array((self.left, self.top) * 2, np.float32)
        scale = np.array((self.scale_x, self.scale_y) * 2, np.float32)
        limit = np.array((self.width, self.height) * 2, np.float32)
        return np.asarray(np.clip((boxes - shift) / scale, np.float32(0), limit))

    def points_to_original(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (…, 2) xy in input pixels -> original pixels; they may lie outside."""
        shift = np.array((self.left, self.top), np.float32)
        scale = np.array((self.scale_x, self.scale_y), np.float32)
        return np.asarray((points - shift) / scale)

    def to_input(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4) xyxy in original pixels -> input pixels."""
        shift = np.array((self.left, self.top) * 2, np.float32)
        scale = np.array((self.scale_x, self.scale_y) * 2, np.float32)
        return np.asarray(boxes * scale + shift)


@lru_cache(maxsize=256)
def fit(height: int, width: int, size: Tuple[int, int]) -> Geometry:
    """Largest centred place of a (height, width) image in an input of `size` (height, width)."""
    inner_h, inner_w = fitted(height, width, size)
    left, top = (size[1] - inner_w) // 2, (size[0] - inner_h) // 2
    return Geometry(height, width, inner_w / width, inner_h / height, float(left), float(top))


def fitted(height: int, width: int, size: Tuple[int, int]) -> tuple[int, int]:
    """Height and width, in whole pixels, of an image scaled to just fit into `size`."""
    scale = min(size[0] / height, size[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def letterbox(
    image: NDArray[np.uint8],
    size: Sequence[int],
    out: NDArray[np.float32] | None = None,
    *,
    grey: float = PAD,
    corner: bool = False,
) -> tuple[NDArray[np.float32], Geometry]:
    """Fit `image` (H, W, 3) uint8 into (1, 3, *size) float32 in 0..1, padded with grey.

    It lies in the middle, or at the top left with `corner`. `out`, of that shape, is filled and
    returned when given, so that a loop allocates nothing big.
    """
    height, width = image.shape[:2]
    inside = (size[0], size[1])
    geometry = fit(height, width, inside)
    if corner:
        geometry = replace(geometry, left=0.0, top=0.0)
    inner_h, inner_w = fitted(height, width, inside)
    top, left = int(geometry.top), int(geometry.left)
    tensor = np.empty((1, 3, *inside), np.float32) if out is None else out
    around = np.float32(grey / 255)
    tensor[0, :, :top] = tensor[0, :, top + inner_h :] = around
    tensor[0, :, :, :left] = tensor[0, :, :, left + inner_w :] = around
    resize(image, tensor[0, :, top : top + inner_h, left : left + inner_w])
    return tensor, geometry


def resize(image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Bilinear resize of `image` (H, W, 3) uint8 into planes `out` (3, h, w) float32 in 0..1."""
    height, width = image.shape[:2]
    _, out_h, out_w = out.shape
    if (height, width) == (2 * out_h, 2 * out_w):
        halve(image, out)
    else:
        rows = axis_table(height, out_h, out_h / height, 0.0)
        columns = axis_table(width, out_w, out_w / width, 0.0)
        sample(image, rows, columns, out)


def halve(image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """`resize` for exactly half the size, where bilinear is the mean of two by two pixels."""
    rows = np.add(image[0::2], image[1::2], dtype=np.uint16)
    for channel in range(3):
        plane = rows[:, 0::2, channel] + rows[:, 1::2, channel]
        np.multiply(plane, np.float32(1 / (4 * 255)), out=out[channel])


#: indices of the lower and upper neighbours, and weight of the upper one, of every target pixel
AxisTable = Tuple["NDArray[np.intp]", "NDArray[np.intp]", "NDArray[np.float32]"]


@lru_cache(maxsize=256)
def axis_table(length: int, count: int, scale: float, offset: float) -> AxisTable:
    """Neighbours and weights along one axis, clamped at the edges.

    Target pixel t, of `count`, samples (t + offset + 0.5) / scale - 0.5 on `length` source pixels.
    """
    at = (np.arange(count) + offset + 0.5) / scale - 0.5
    at = np.clip(at, 0, length - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, length - 1)
    return low, high, (at - low).astype(np.float32)


def sample(
    image: NDArray[np.uint8], rows: AxisTable, columns: AxisTable, out: NDArray[np.float32]
) -> None:
    """Bilinear sampling of `image` (H, W, 3) at the grid rows x columns into (3, h, w), in 0..1."""
    top, bottom, down = rows
    left, right, across = columns
    down, across = down[:, None], across * np.float32(1 / 255)
    rest = np.float32(1 / 255) - across
    upper, lower = image[top], image[bottom]
    for channel in range(3):
        plane = upper[:, :, channel]
        above = plane.take(left, 1) * rest + plane.take(right, 1) * across
        plane = lower[:, :, channel]
        below = plane.take(left, 1) * rest + plane.take(right, 1) * across
        below -= above
        below *= down
        np.add(above, below, out=out[channel])
