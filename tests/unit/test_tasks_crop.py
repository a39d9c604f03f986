from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from harness.tasks.crop import crop_card, homography, warped
from harness.tasks.quad import ordered, quadrilateral, signed_area

CARD = np.array([(150, 120), (480, 90), (520, 330), (130, 290)], float)


def filled(quad: NDArray[np.float64], height: int = 480, width: int = 640) -> NDArray[np.bool_]:
    """Mask of a convex quadrilateral: pixels whose centre is inside, in or out of the picture."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.ones((height, width), np.bool_)
    for (ax, ay), (bx, by) in itertools.pairwise([*quad.tolist(), quad[0].tolist()]):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
    return inside


def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Largest distance of corners, whichever is counted first."""
    return min(float(np.hypot(*(np.roll(a, k, 0) - b).T).max()) for k in range(4))


@settings(max_examples=30, deadline=None)
@given(
    angle=st.floats(0, 2 * math.pi),
    long=st.floats(60, 300),
    ratio=st.floats(0.5, 0.9),
    lean=st.lists(st.floats(-0.1, 0.1), min_size=8, max_size=8),
)
def test_corners_of_a_whole_card_are_found_within_two_pixels(
    angle: float, long: float, ratio: float, lean: list[float]
) -> None:
    flat = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (long / 2, long * ratio / 2)
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    quad = flat @ turn + (320, 240) + np.array(lean).reshape(4, 2) * long
    mask = filled(quad)
    assume(not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()))
    assert apart(quadrilateral(mask), quad) < 2


def test_a_polygon_is_its_own_quadrilateral() -> None:
    np.testing.assert_allclose(quadrilateral(CARD[::-1]), ordered(CARD), atol=1e-9)


def test_a_corner_cut_off_by_the_frame_is_put_back_outside() -> None:
    card = np.array([(380, 150), (590, 60), (690, 250), (470, 350)], float)
    assert apart(quadrilateral(filled(card)), card) < 3


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_rasterised_polygon_of_pycocotools_fits_too() -> None:
    runs = coco_mask.frPyObjects([CARD.ravel().tolist()], 480, 640)
    mask = coco_mask.decode(runs)[:, :, 0].astype(np.bool_)
    assert apart(quadrilateral(mask), CARD) < 2


def test_a_triangle_gets_the_smallest_rectangle() -> None:
    quad = quadrilateral(np.array([(0, 0), (10, 0), (5, 4)], float))
    assert signed_area(quad) == pytest.approx(40)


@pytest.mark.parametrize(
    "shape", [np.zeros((5, 5), np.bool_), np.array([(0, 0), (1, 1), (2, 2.0)])]
)
def test_a_shape_without_area_is_refused(shape: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="a shape without area has no corners"):
        quadrilateral(shape)


def test_one_pixel_is_a_square() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[4, 3] = True
    assert quadrilateral(mask).tolist() == [[3, 4], [4, 4], [4, 5], [3, 5]]


@settings(deadline=None)
@given(st.permutations(range(4)))
def test_order_is_clockwise_from_the_top_left(order: list[int]) -> None:
    turned = [CARD[at:].tolist() + CARD[:at].tolist() for at in range(4)]
    for corners in turned:
        assert ordered(np.array(corners)).tolist() == CARD.tolist()
        assert ordered(np.array(corners[::-1])).tolist() == CARD.tolist()


# ---- the crop ----------------------------------------------------------------------------------


def picture_of(card: NDArray[np.uint8], quad: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A grey picture 480 x 640 with `card` (h, w, 3) laid on `quad`."""
    height, width = card.shape[:2]
    edges = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    image = warped(card, homography(quad, edges), (480, 640))
    image[~filled(quad)] = 114
    return image


def smooth_card(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    planes = [255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)]
    return np.stack(planes, 2).astype(np.uint8)


def test_a_card_in_perspective_is_cropped_straight() -> None:
    card = smooth_card(200, 320)
    crop = crop_card(picture_of(card, CARD), CARD, (320, 200))
    assert crop.shape == (200, 320, 3)
    assert crop.dtype == np.uint8
    difference = np.abs(crop.astype(int) - card)[3:-3, 3:-3]
    assert difference.max() <= 6


def test_the_longer_side_lies_horizontal_unless_portrait_is_asked_for() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    upright = np.array([(100, 50), (200, 50), (200, 250), (100, 250)], float)
    assert crop_card(image, upright).shape == (100, 200, 3)
    assert crop_card(image, upright, portrait=True).shape == (200, 100, 3)
    assert crop_card(image, upright, (320, 200), portrait=True).shape == (320, 200, 3)
    assert crop_card(image, upright[:, ::-1], (320, 200)).shape == (200, 320, 3)


def test_a_crop_turned_by_a_quarter_is_not_mirrored() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[50:150, 100:200] = 255  # the upper half of an upright card
    upright = np.array([(100, 50), (200, 50), (200, 250), (100, 250)], float)
    crop = crop_card(image, upright)
    halves = crop[:, :95].mean(), crop[:, 105:].mean()
    assert sorted(halves) == [0, 255]
    stood = crop_card(image, upright, portrait=True)
    assert stood[:95].min() == 255
    assert stood[105:].max() == 0


def test_a_card_that_leaves_the_picture_repeats_the_edge() -> None:
    image = np.full((100, 100, 3), 7, np.uint8)
    quad = np.array([(-20, 10), (80, 10), (80, 60), (-20, 60)], float)
    assert (crop_card(image, quad) == 7).all()
