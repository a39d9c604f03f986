"""COCO run lengths: alternating counts of 0 and 1 down the columns, 0 first. Numpy only.

The counts are those of `pycocotools.mask.encode` before it packs them into a string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode(
    mask: NDArray[np.bool_], size: tuple[int, int], at: tuple[int, int] = (0, 0)
) -> NDArray[np.uint32]:
    """Runs of an image of `size` (height, width): `mask` (h, w) put `at` (y, x), else 0."""
    height, width = size
    rows, columns = mask.shape
    padded = np.zeros((columns, rows + 2), np.bool_)
    padded[:, 1:-1] = mask.T
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    column, row = np.divmod(changes, rows + 1)
    edges = (column + at[1]) * height + row + at[0]
    if rows == height:
        edges = without_touching(edges)
    bounds = np.zeros(len(edges) + 2, np.int64)
    bounds[1:-1], bounds[-1] = edges, height * width
    runs = bounds[1:] - bounds[:-1]
    return (runs if runs[-1] or len(runs) == 1 else runs[:-1]).astype(np.uint32)


def without_touching(edges: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join runs that end at the foot of a column and go on at the head of the next."""
    same = edges[1:] == edges[:-1]
    drop = np.zeros(len(edges), np.bool_)
    drop[1:] |= same
    drop[:-1] |= same
    return edges[~drop]


def decode(runs: NDArray[np.uint32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask (height, width) of `runs`."""
    height, width = size
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T
