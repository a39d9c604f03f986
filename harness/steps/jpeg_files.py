"""JPEG files that are truncated but end with an end marker.

The decoder fills what is missing with grey, or leaves it blurred, and does not say so. Bytes put in
before the end marker show it: they are decoded only where something was missing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

GREY: Final = 128
FILLING: Final = b"\x55\xaa" * 4096
#: markers without a length: stuffed byte, TEM, restarts
ALONE: Final = (0x00, 0x01, *range(0xD0, 0xD8))
END: Final = 0xD9


def suspect(image: Image, pixels: NDArray[np.uint8]) -> bool:
    """Whether to decode again to be sure: a corner looks filled in, or there are several scans."""
    if "progressive" in image.info or image.mode == "CMYK":
        return True
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool((corners == GREY).all(axis=1).any())


def check_whole(data: bytes) -> None:
    """Raises ValueError if data is missing."""
    end = end_marker(data)
    if end is None or (_decoded(data) != _decoded(data[:end] + FILLING + data[end:])).any():
        raise ValueError("image file is truncated")


def end_marker(data: bytes) -> int | None:
    """Where the end marker of the first image is; a thumbnail's own lies inside a segment."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker == END:
            return at
        if marker == 0xFF:
            at += 1
        elif marker in ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _decoded(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return np.asarray(image)
