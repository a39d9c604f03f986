from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from harness.tasks.letterbox import PAD, fit, fitted, letterbox

sides = st.integers(8, 2000)


def reference_resize(image: NDArray[np.uint8], out_h: int, out_w: int) -> NDArray[np.float64]:
    """Bilinear with half-pixel centres, pixel by pixel as it is defined: (3, h, w) in 0..1."""
    height, width = image.shape[:2]
    out = np.empty((3, out_h, out_w))
    for row in range(out_h):
        for column in range(out_w):
            y = min(max((row + 0.5) * height / out_h - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / out_w - 0.5, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            dy, dx = y - y0, x - x0
            above = image[y0, x0] * (1 - dx) + image[y0, x1] * dx
            below = image[y1, x0] * (1 - dx) + image[y1, x1] * dx
            out[:, row, column] = (above * (1 - dy) + below * dy) / 255
    return out


@pytest.mark.parametrize(
    "size", [(24, 32), (32, 24), (48, 64), (33, 50), (7, 9), (100, 64), (5, 64)]
)
def test_resize_is_bilinear_with_half_pixel_centres(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    tensor, geometry = letterbox(image, (32, 32))
    inner_h, inner_w = fitted(*size, (32, 32))
    top, left = int(geometry.top), int(geometry.left)
    inside = tensor[0, :, top : top + inner_h, left : left + inner_w]
    np.testing.assert_allclose(inside, reference_resize(image, inner_h, inner_w), atol=1e-6)


def test_enlarging_agrees_with_pillow() -> None:
    image = np.random.default_rng(1).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    wanted = Image.fromarray(image).resize((64, 48), Image.Resampling.BILINEAR)
    tensor, _ = letterbox(image, (64, 64))
    inside = tensor[0, :, 8:56].transpose(1, 2, 0) * 255
    np.testing.assert_allclose(inside, np.asarray(wanted, float), atol=1.01)


def test_padding_is_grey_and_the_picture_lies_in_the_middle() -> None:
    tensor, geometry = letterbox(np.zeros((480, 640, 3), np.uint8), (320, 320))
    assert tensor.shape == (1, 3, 320, 320)
    assert tensor.dtype == np.float32
    assert (geometry.scale_x, geometry.scale_y, geometry.left, geometry.top) == (0.5, 0.5, 0, 40)
    grey = np.float32(PAD / 255)
    assert (tensor[0, :, :40] == grey).all()
    assert (tensor[0, :, 280:] == grey).all()
    assert not tensor[0, :, 40:280].any()


def test_a_given_buffer_is_filled_and_returned() -> None:
    image = np.random.default_rng(2).integers(0, 256, (50, 30, 3), dtype=np.uint8)
    buffer = np.full((1, 3, 32, 32), np.nan, np.float32)
    tensor, _ = letterbox(image, (32, 32), buffer)
    assert tensor is buffer
    np.testing.assert_array_equal(buffer, letterbox(image, (32, 32))[0])


def test_a_read_only_picture_will_do() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image.flags.writeable = False
    letterbox(image, (32, 32))


@settings(deadline=None)
@given(sides, sides, st.sampled_from([32, 224, 320, 640]))
def test_a_picture_fills_the_input_along_its_longer_side(
    height: int, width: int, side: int
) -> None:
    inner_h, inner_w = fitted(height, width, (side, side))
    assert max(inner_h, inner_w) == side
    geometry = fit(height, width, (side, side))
    assert 0 <= geometry.left <= side - inner_w
    assert 0 <= geometry.top <= side - inner_h


@settings(deadline=None)
@given(
    sides,
    sides,
    arrays(np.float32, (5, 4), elements=st.floats(0, 1, width=32)),
)
def test_boxes_come_back_from_the_input(
    height: int, width: int, parts: NDArray[np.float32]
) -> None:
    geometry = fit(height, width, (320, 320))
    boxes = np.sort(parts.reshape(5, 2, 2), axis=1).reshape(5, 4)
    boxes = boxes * np.array((width, height) * 2, np.float32)
    back = geometry.to_original(geometry.to_input(boxes))
    np.testing.assert_allclose(back, boxes, atol=2e-4 * max(height, width))


def test_boxes_outside_the_picture_are_clipped() -> None:
    geometry = fit(480, 640, (320, 320))
    boxes = geometry.to_original(np.array([(-10, 0, 400, 320)], np.float32))
    assert boxes.tolist() == [[0, 0, 640, 480]]


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (384, 640), (32, 200)])
def test_an_input_that_is_no_square_is_filled_and_boxes_come_back(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    tensor, geometry = letterbox(image, size)
    assert tensor.shape == (1, 3, *size)
    inner = fitted(100, 150, size)
    assert inner[0] == size[0] or inner[1] == size[1]
    boxes = np.array([(10, 20, 60, 90)], np.float32)
    np.testing.assert_allclose(geometry.to_original(geometry.to_input(boxes)), boxes, atol=1e-3)
    left, top = int(geometry.left), int(geometry.top)
    assert (left + inner[1], top + inner[0]) <= (size[1], size[0])
