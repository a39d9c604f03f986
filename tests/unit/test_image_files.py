"""Image files as phones, scanners and industrial cameras write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import ConfigError
from harness.steps.image_files import decode, size_of

#: wide; a red top left quarter, a blue bottom right one
WIDE = (24, 16)


def picture(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", size, (40, 90, 40))
    image.paste((220, 20, 20), (0, 0, size[0] // 2, size[1] // 2))
    image.paste((20, 20, 220), (size[0] // 2, size[1] // 2, *size))
    return image.convert(mode)


def stored(upright: Image.Image, orientation: int, path: Path) -> Path:
    """The file whose EXIF orientation makes it `upright` again."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = upright.transpose(undo[orientation]) if orientation in undo else upright
    turned.save(path, quality=100, exif=exif.tobytes())
    return path


def off(seen: np.ndarray, wanted: Image.Image) -> float:
    """Mean difference of pixels, in levels."""
    return float(np.abs(seen.astype(int) - np.asarray(wanted.convert("RGB"), int)).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [WIDE, (24, 24)], ids=["wide", "square"])
def test_what_was_annotated_upright_is_decoded_upright(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    path = stored(picture(size), orientation, tmp_path / "a.jpg")
    assert off(decode(path, size[1], size[0]), picture(size)) < 8


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_what_was_annotated_as_it_is_stored_stays_so(tmp_path: Path, orientation: int) -> None:
    path = stored(picture(WIDE), orientation, tmp_path / "a.jpg")
    seen = decode(path, WIDE[0], WIDE[1])
    with Image.open(path) as raw:
        assert off(seen, raw) == 0


def test_an_orientation_that_is_none_is_ignored(tmp_path: Path) -> None:
    path = stored(picture(WIDE), 77, tmp_path / "a.jpg")
    assert off(decode(path, WIDE[1], WIDE[0]), picture(WIDE)) < 8


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"a.{suffix}")
    seen = decode(tmp_path / f"a.{suffix}", 16, 16)
    np.testing.assert_array_equal(seen[:, :, 0], ramp >> 8)
    np.testing.assert_array_equal(seen[:, :, 0], seen[:, :, 2])


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.full((4, 4), 200, np.int32), "32-bit or signed pixels are not supported"),
        (np.full((4, 4), 0.5, np.float32), "floating-point pixels are not supported"),
    ],
)
def test_pixels_that_would_be_a_guess_are_refused(
    tmp_path: Path, values: np.ndarray, what: str
) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ConfigError) as caught:
        decode(tmp_path / "a.tif", 4, 4)
    assert caught.value.mistakes == [f"{tmp_path}/a.tif: {what}"]
    assert caught.value.hint == "Convert it to 8-bit RGB or grey."


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "L", {}),
        ("a.png", "P", {}),
        ("a.png", "RGBA", {}),
        ("a.png", "LA", {}),
        ("a.gif", "P", {}),
        ("a.bmp", "RGB", {}),
        ("a.webp", "RGB", {"lossless": True}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}),
        ("a.jpg", "RGB", {"progressive": True, "quality": 100}),
        ("a.jpg", "L", {"quality": 100}),
        ("a.jpg", "CMYK", {"quality": 100}),
    ],
)
def test_every_common_kind_of_pixels_is_taken(
    tmp_path: Path, name: str, mode: str, options: dict[str, object]
) -> None:
    image = picture(WIDE, mode)
    image.save(tmp_path / name, **options)
    assert off(decode(tmp_path / name, WIDE[1], WIDE[0]), image) < 8


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_file_is_refused_not_half_grey(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, progressive=progressive)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ConfigError, match=r"a\.jpg: cannot be decoded: "):
        decode(path, 64, 64)


def test_a_format_that_starts_programs_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n%%EOF\n")
    with pytest.raises(ConfigError) as caught:
        decode(path, 8, 8)
    assert caught.value.mistakes == [
        f"{path}: not a supported image (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM)"
    ]


def test_another_size_than_annotated_is_named(tmp_path: Path) -> None:
    picture(WIDE).save(tmp_path / "a.png")
    with pytest.raises(ConfigError) as caught:
        decode(tmp_path / "a.png", 9, 9, " (image id 4)")
    assert caught.value.mistakes == [
        f"{tmp_path}/a.png: 24 x 16 pixels, annotated as 9 x 9 (image id 4)"
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_size_is_told_as_decoded_without_decoding(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    size = size_of(path, 0, 0)
    assert size == ((6, 8) if orientation < 5 else (8, 6))
    assert decode(path, 0, 0).shape[:2] == size
