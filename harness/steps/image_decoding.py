"""Decodes image files as phones, scanners and cameras write them to 8-bit RGB, with Pillow.

It reads untrusted files with code in C: `image_files` runs it in a separate process.

The EXIF orientation is applied, as annotation tools do, unless only the stored size matches the
annotated one. 16-bit grey keeps its high byte, 12-bit grey its 8 high bits. Transparent pixels
become white, as in image viewers. Of several frames the first counts.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from . import jpeg_files

if TYPE_CHECKING:
    from PIL.Image import Image

#: format -> Pillow's plugin; no other is imported, whatever a file's name or content says: the one
#: for EPS would start another program
PLUGINS: Final = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "PPM": "PpmImagePlugin",
}
#: part of the key of what was decoded: counts up when the rules above change
VERSION: Final = 3
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 258
WHITE: Final = (255, 255, 255, 255)
HINT: Final = "Copy the file again, or regenerate the dataset's manifest if you changed it."
#: of a decoded image; Pillow's own limit is similar
MOST_PIXELS: Final = 178_956_970
#: decoded bytes per byte of the file: no photo has more; a small image of one colour may
MOST_PER_BYTE: Final = 4096
SMALL_BYTES: Final = 64 << 20
DAMAGE: Final = (
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, RuntimeError),
    *(TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError, struct.error),
)
"""What Pillow raises for damaged files, as found by fuzzing."""


def decode(path: Path, height: int, width: int, about: str = "") -> NDArray[np.uint8]:
    """Pixels (height, width, 3) uint8 RGB of an image that is annotated with this size.

    `about` is added to the message. Raises ConfigError if it is damaged, of another size, or of a
    format or pixel type that cannot be taken without a guess. With 0 x 0, any size is right.
    """
    with _opened(path) as image:
        _check_size(path, image, height, width, about)
        bits = _grey_bits(image)
        pixels = _rgb(_as_annotated(image, height, width), bits)
        if image.format in ("JPEG", "MPO") and jpeg_files.suspect(image, pixels):
            jpeg_files.check_whole(path.read_bytes())
    return pixels


def size_of(path: Path, height: int, width: int, about: str = "") -> tuple[int, int]:
    """Height and width that `decode` will have, by the file's header; raises ConfigError as it."""
    with _opened(path) as image:
        _check_size(path, image, height, width, about)
        if not (height and width):
            width, height = _upright_size(image)
    return height, width


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The file opened by Pillow; what it raises inside becomes ConfigError."""
    from PIL import Image, UnidentifiedImageError

    if path.exists() and not path.is_file():
        raise ConfigError([f"{path}: not a file"], HINT)

    # large images, odd EXIF: nothing that is for the reader of a terminal
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        with Image.open(path, formats=formats()) as image:
            yield image
    except UnidentifiedImageError:
        raise ConfigError(
            [f"{path}: not a supported image (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM)"], HINT
        ) from None
    except _Unclear as error:
        raise ConfigError([f"{path}: {error}"], "Convert it to 8-bit RGB or grey.") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        reason = str(error).replace(f" '{path}'", "").replace(f" {path}", "")
        what = reason or type(error).__name__
        raise ConfigError([f"{path}: cannot be decoded: {what}"], HINT) from error


def formats() -> tuple[str, ...]:
    """The PLUGINS that this Pillow supports: for any other format it would import all plugins."""
    from PIL import Image

    for plugin in PLUGINS.values():
        import_module(f"PIL.{plugin}")
    return tuple(name for name in PLUGINS if name in Image.OPEN)


class _Unclear(Exception):
    """Pixels whose meaning is ambiguous."""


def _check_size(path: Path, image: Image, height: int, width: int, about: str) -> None:
    """Checked before decoding, so that no file expands to more than is annotated."""
    annotated = width, height
    pixels = image.size[0] * image.size[1]
    room = max(SMALL_BYTES, MOST_PER_BYTE * path.stat().st_size)
    if not 0 < pixels <= MOST_PIXELS or 3 * pixels > room:
        raise ConfigError(
            [f"{path}: {pixels:,} pixels in {path.stat().st_size:,} bytes{about}"],
            "Check the image: its header claims more pixels than a photo of this size can hold.",
        )
    if annotated == (0, 0) or annotated == image.size:
        return
    if annotated != image.size[::-1] or _orientation(image) < 5:
        seen = f"{image.size[0]} x {image.size[1]}"
        raise ConfigError([f"{path}: {seen} pixels, annotated as {width} x {height}{about}"], HINT)


def _upright_size(image: Image) -> tuple[int, int]:
    """Width and height once it is upright; no pixel is decoded but those of a TIFF.

    It depends on Pillow's version whether that has its size turned before it is loaded.
    """
    if image.format == "TIFF":
        return _as_annotated(image, 0, 0).size
    return image.size if _orientation(image) < 5 else image.size[::-1]


def _orientation(image: Image) -> int:
    """As EXIF has it, 1 to 8; 1 where EXIF says nothing, or nothing that can be read."""
    try:
        value = image.getexif().get(ORIENTATION)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) and value in range(2, 9) else 1


def _as_annotated(image: Image, height: int, width: int) -> Image:
    """Upright, unless the annotated size is that of the image as it is stored alone."""
    from PIL.Image import Transpose

    turns = {
        2: (Transpose.FLIP_LEFT_RIGHT, Transpose.FLIP_LEFT_RIGHT),
        3: (Transpose.ROTATE_180, Transpose.ROTATE_180),
        4: (Transpose.FLIP_TOP_BOTTOM, Transpose.FLIP_TOP_BOTTOM),
        5: (Transpose.TRANSPOSE, Transpose.TRANSPOSE),
        6: (Transpose.ROTATE_270, Transpose.ROTATE_90),
        7: (Transpose.TRANSVERSE, Transpose.TRANSVERSE),
        8: (Transpose.ROTATE_90, Transpose.ROTATE_270),
    }
    orientation = _orientation(image)
    image.load()
    if orientation == 1:
        return image
    turned = image.format == "TIFF"  # Pillow does it while it loads
    upright = image.size if turned or orientation < 5 else image.size[::-1]
    wanted = upright == (width, height) or upright[::-1] != (width, height)
    if wanted == turned:
        return image
    return image.transpose(turns[orientation][0 if wanted else 1])


def _grey_bits(image: Image) -> int:
    """Bits of a grey pixel in a mode of more than 8."""
    if image.format != "TIFF" or not image.mode.startswith("I"):
        return 16
    if image.mode == "I":
        raise _Unclear("32-bit or signed pixels are not supported")
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (16,))  # type: ignore[attr-defined]
    return int(bits[0])


def _rgb(image: Image, grey_bits: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    from PIL import Image as images

    if image.mode.startswith("I"):
        return _high_bits(np.asarray(image), grey_bits)
    if image.mode == "F":
        raise _Unclear("floating-point pixels are not supported")
    if image.has_transparency_data:
        white = images.new("RGBA", image.size, WHITE)
        image = images.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _high_bits(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Grey by its 8 high bits; Pillow itself would make all over 255 white."""
    if values.min() < 0 or values.max() >= 1 << bits:
        raise _Unclear(f"pixel values {values.min()} to {values.max()} exceed {bits} bits")
    grey = (values.astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
