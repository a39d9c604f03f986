"""Read a packed dataset where the model runs: decoded images or tensors, numpy only.

A pack is a folder. Of images: `ids.npy` (n,) int64, `shapes.npy` (n, 3) int64 (height, width, 3),
and `pixels.npy` uint8 RGB, (n, H, W, 3) when all images have one size, else all bytes flat. Of
tensors: `ids.npy`, and `tensor-0.npy`, `tensor-1.npy`, … (n, *shape), one for each input in order.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, overload

import numpy as np

from ..serial import PARSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

TENSOR = "tensor-%d.npy"
#: arrays up to here are read at once: an empty one cannot be mapped
SMALL_BYTES = 1 << 20


class Pack:
    """A sequence of (id, sample); what samples are made of stays on disk until it is read.

    A sample is an image, a (H, W, 3) uint8 view, or a tuple with the array of each input.
    """

    def __init__(self, ids: NDArray[np.int64], sample: Callable[[int], Any]) -> None:
        self.ids, self._sample = ids, sample

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> tuple[int, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, Any]]: ...

    def __getitem__(self, index: int | slice) -> tuple[int, Any] | list[tuple[int, Any]]:
        """Sample `index`, or a list of those of a slice; IndexError past the end."""
        at = range(len(self.ids))[index]
        if isinstance(at, range):
            return [self[one] for one in at]
        return int(self.ids[at]), self._sample(at)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return (self[index] for index in range(len(self)))


def open_pack(path: str | Path) -> Pack:
    """Open the pack in folder `path`, its arrays memory-mapped read-only."""
    folder = Path(path)
    with PARSING:
        ids = np.load(folder / "ids.npy")
        if (folder / (TENSOR % 0)).is_file():
            tensors = _tensors(folder)
            return Pack(ids, lambda at: tuple(np.asarray(one[at]) for one in tensors))
        shapes = np.load(folder / "shapes.npy")
        pixels = np.load(folder / "pixels.npy", mmap_mode="r" if len(ids) else None)
    return Pack(ids, _images(shapes, np.asarray(pixels)))


def _images(shapes: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Callable[[int], Any]:
    flat, ends = pixels.reshape(-1), np.cumsum(np.prod(shapes, axis=1))

    def image(at: int) -> NDArray[np.uint8]:
        height, width, channels = shapes[at].tolist()
        end = int(ends[at])
        return flat[end - height * width * channels : end].reshape(height, width, channels)

    return image


def _tensors(folder: Path) -> List[NDArray[Any]]:
    found: List[NDArray[Any]] = []
    while (path := folder / (TENSOR % len(found))).is_file():
        mapped = path.stat().st_size > SMALL_BYTES
        found.append(np.load(path, mmap_mode="r" if mapped else None))
    return found
