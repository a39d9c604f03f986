"""Image files as phones, scanners and cameras write them, decoded to 8-bit RGB.

What an EXIF orientation turns is turned where the annotated size is that of the upright image, as
annotation tools show it; where only the stored size fits, it stays as it is stored. 16-bit grey
keeps its high byte; an alpha channel is dropped, as OpenCV and torchvision do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

#: nothing else is opened, whatever a file's name says: an EPS would start another program
FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
#: part of the key of what was decoded: counts up when the rules above change
VERSION: Final = 2
ORIENTATION: Final = 0x0112
HINT: Final = "Copy the file again, or write the dataset's manifest anew if the change is meant."


def decode(path: Path, height: int, width: int, about: str = "") -> NDArray[np.uint8]:
    """Pixels (height, width, 3) uint8 RGB of an image that is annotated with this size.

    `about` goes into the message. Raises ConfigError if it is damaged, of another size, or of a
    format or pixel type that cannot be taken without a guess.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = _rgb(_turned(image, height, width))
    except UnidentifiedImageError:
        raise ConfigError(
            [f"{path}: not an image that can be read (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM)"], HINT
        ) from None
    except _Unclear as error:
        raise ConfigError([f"{path}: {error}"], "Convert it to 8-bit RGB or grey.") from None
    except (
        *(OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError),
        Image.DecompressionBombError,
    ) as error:
        reason = str(error).replace(f" '{path}'", "").replace(f" {path}", "")
        raise ConfigError([f"{path}: cannot be decoded: {reason}"], HINT) from error
    if pixels.shape != (height, width, 3):
        seen = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise ConfigError([f"{path}: {seen} pixels, annotated as {width} x {height}{about}"], HINT)
    return pixels


class _Unclear(Exception):
    """Pixels that would only be right by guess."""


def _turned(image: Image, height: int, width: int) -> Image:
    """Upright, unless the annotated size is that of the image as it is stored alone."""
    from PIL import ImageOps

    orientation = image.getexif().get(ORIENTATION, 1)
    if orientation not in range(2, 9):
        return image
    upright = image.size[::-1] if orientation >= 5 else image.size
    if upright != (width, height) and image.size == (width, height):
        return image
    return ImageOps.exif_transpose(image)


def _rgb(image: Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    if image.mode.startswith("I"):
        return _of_16_bit(np.asarray(image))
    if image.mode == "F":
        raise _Unclear("floating-point pixels")
    return np.asarray(image.convert("RGB"))


def _of_16_bit(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Grey of 0..65535 by its high byte; Pillow itself would make all over 255 white."""
    if values.min() < 0 or values.max() > 0xFFFF:
        raise _Unclear(f"pixels from {values.min()} to {values.max()}, more than 16 bits")
    grey = (values.astype(np.uint16) >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
