"""What RIO is for: cut a card out of an image and undo the perspective. Numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .quad import ordered
from .quad import quadrilateral as quadrilateral

if TYPE_CHECKING:
    from numpy.typing import NDArray


def crop_card(
    image: NDArray[np.uint8],
    quad: NDArray[np.float64],
    size: tuple[int, int] | None = None,
    *,
    portrait: bool = False,
) -> NDArray[np.uint8]:
    """The card with corners `quad` (4, 2) xy of `image` (H, W, 3), seen from straight above.

    `size` is (longer, shorter) side in pixels; None takes the quad's own mean sides. The longer
    side is horizontal, or vertical with `portrait`. Pixels outside the image repeat its
    edge.
    """
    corners = ordered(np.asarray(quad, np.float64))
    across, down = mean_sides(corners)
    if (across < down) != portrait:
        corners = np.roll(corners, 1 if portrait else -1, axis=0)
        across, down = down, across
    if size is not None:
        across, down = size[::-1] if portrait else size
    width, height = max(1, round(across)), max(1, round(down))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    return warped(image, homography(target, corners), (height, width))


def mean_sides(quad: NDArray[np.float64]) -> tuple[float, float]:
    """Mean length of the first and third, and of the second and fourth side of `quad` (4, 2)."""
    sides = np.roll(quad, -1, axis=0) - quad
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    return float(lengths[0::2].mean()), float(lengths[1::2].mean())


def homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 3 x 3 projective map that takes four points (4, 2) to four others (Heckbert, 1989)."""
    rows, wanted = [], []
    for x, y, u, v in np.hstack([source, target]).tolist():
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        wanted += [u, v]
    solution = np.linalg.solve(np.array(rows), np.array(wanted))
    return np.append(solution, 1.0).reshape(3, 3)


def warped(
    image: NDArray[np.uint8], to_source: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Bilinear samples (height, width, 3) of `image` at the mapped centres of `size`'s pixels."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    places = np.stack([x, y, np.ones_like(x)], -1) @ to_source.T
    at = places[..., :2] / places[..., 2:] - 0.5
    last = np.array((image.shape[1], image.shape[0])) - 1
    at = np.clip(at, 0, last)
    low = np.minimum(at.astype(np.intp), np.maximum(last - 1, 0))
    high = np.minimum(low + 1, last)
    part = (at - low).astype(np.float32)
    right, down = part[..., :1], part[..., 1:]
    (x0, y0), (x1, y1) = np.moveaxis(low, -1, 0), np.moveaxis(high, -1, 0)
    above = image[y0, x0] * (1 - right) + image[y0, x1] * right
    below = image[y1, x0] * (1 - right) + image[y1, x1] * right
    return np.asarray(np.rint(above * (1 - down) + below * down), np.float32).astype(np.uint8)
