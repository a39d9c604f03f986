"""Read a packed dataset where the model runs: decoded images, numpy only.

A pack is a folder: `ids.npy` (n,) int64, `shapes.npy` (n, 3) int64 (height, width, 3), and
`pixels.npy` uint8 RGB, (n, H, W, 3) when all images have one size, else all bytes flat.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Iterator, overload

import numpy as np

from ..serial import PARSING

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pack:
    """A sequence of (image id, (H, W, 3) uint8 view); pixels stay on disk until they are read."""

    def __init__(
        self, ids: NDArray[np.int64], shapes: NDArray[np.int64], pixels: NDArray[np.uint8]
    ) -> None:
        self.ids, self.shapes = ids, shapes
        self._flat = pixels.reshape(-1)
        self._ends = np.cumsum(np.prod(shapes, axis=1))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> tuple[int, NDArray[np.uint8]]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, NDArray[np.uint8]]]: ...

    def __getitem__(
        self, index: int | slice
    ) -> tuple[int, NDArray[np.uint8]] | list[tuple[int, NDArray[np.uint8]]]:
        """Image `index`, or a list of those of a slice; IndexError past the end."""
        at = range(len(self.ids))[index]
        if isinstance(at, range):
            return [self[one] for one in at]
        height, width, channels = self.shapes[at].tolist()
        end = int(self._ends[at])
        view = self._flat[end - height * width * channels : end]
        return int(self.ids[at]), view.reshape(height, width, channels)

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        return (self[index] for index in range(len(self)))


def open_pack(path: str | Path) -> Pack:
    """Open the pack in folder `path`, its pixels memory-mapped read-only."""
    folder = Path(path)
    with PARSING:
        ids = np.load(folder / "ids.npy")
        shapes = np.load(folder / "shapes.npy")
        pixels = np.load(folder / "pixels.npy", mmap_mode="r" if len(ids) else None)
    return Pack(ids, shapes, np.asarray(pixels))
