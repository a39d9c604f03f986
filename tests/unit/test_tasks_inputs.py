"""How an image becomes the input of a model: one set of options for all tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from decoders_for_tests import spec_of
from numpy.typing import NDArray

from harness.tasks import REGISTRY
from harness.tasks.inputs import MEAN, STD, prepare
from harness.tasks.letterbox import letterbox

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
LETTERBOXED = letterbox(IMAGE, (64, 64))[0]


def prepared(image: NDArray[np.uint8] = IMAGE, **options: Any) -> NDArray[np.float32]:
    return prepare(image, spec_of("", {}, 1, **options))[0]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ("0..1", LETTERBOXED),
        ("0..255", LETTERBOXED * 255),
        ("-1..1", LETTERBOXED * 2 - 1),
        ("imagenet", (LETTERBOXED - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]),
    ],
)
def test_values_have_the_range_that_the_model_asks_for(
    values: str, wanted: NDArray[np.float32]
) -> None:
    np.testing.assert_allclose(prepared(range=values), wanted, rtol=1e-5, atol=1e-5)


def test_colours_may_be_in_the_other_order() -> None:
    np.testing.assert_array_equal(prepared(colour_order="bgr"), LETTERBOXED[:, ::-1])
    imagenet = prepared(range="imagenet")  # its means stay with their colours
    both = prepared(colour_order="bgr", range="imagenet")
    np.testing.assert_array_equal(both, imagenet[:, ::-1])


def test_mean_and_std_are_of_the_input_s_channels_after_its_range() -> None:
    caffe = prepared(colour_order="bgr", range="0..255", mean=(103.94, 116.78, 123.68))
    bgr = LETTERBOXED[:, ::-1] * 255 - np.array((103.94, 116.78, 123.68))[:, None, None]
    np.testing.assert_allclose(caffe, bgr, atol=1e-4)
    spread = prepared(range="0..255", mean=(127.5,), std=(127.5, 127.5, 127.5))
    np.testing.assert_allclose(spread, LETTERBOXED * 2 - 1, atol=1e-6)


def test_a_buffer_is_filled_whatever_the_options() -> None:
    buffer = np.full((1, 3, 64, 64), np.nan, np.float32)
    spec = spec_of("", {}, 1, colour_order="bgr", range="-1..1", fit="stretch")
    assert prepare(IMAGE, spec, buffer)[0] is buffer
    assert np.isfinite(buffer).all()


@pytest.mark.parametrize("fit", ["letterbox", "corner", "stretch", "crop"])
def test_a_mark_in_the_image_is_where_the_geometry_says(fit: str) -> None:
    image = np.zeros((100, 150, 3), np.uint8)
    image[40:60, 70:90] = 255
    tensor, geometry = prepare(image, spec_of("", {}, 1, fit=fit, pad=0))
    rows, columns = (np.flatnonzero((tensor[0, 0] > 0.5).any(axis=axis)) for axis in (1, 0))
    box = np.array([(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)], np.float32)
    np.testing.assert_allclose(geometry.to_original(box), [(70, 40, 90, 60)], atol=2)


def test_corner_pads_at_the_right_and_below_with_the_grey_asked_for() -> None:
    tensor, geometry = prepare(IMAGE, spec_of("", {}, 1, fit="corner", pad=0))
    assert (geometry.left, geometry.top) == (0, 0)
    np.testing.assert_array_equal(tensor[0, :, :43], LETTERBOXED[0, :, 10:53])
    assert (tensor[0, :, 43:] == 0).all()


def test_stretch_fills_the_input_and_keeps_no_shape() -> None:
    tensor, geometry = prepare(
        np.full((10, 90, 3), 255, np.uint8), spec_of("", {}, 1, fit="stretch")
    )
    np.testing.assert_allclose(tensor, 1, rtol=1e-6)
    assert (geometry.scale_x, geometry.scale_y) == (64 / 90, 6.4)


@pytest.mark.parametrize("task", [name for name in REGISTRY if name != "tensor"])
def test_every_task_on_images_takes_the_same_options(task: str) -> None:
    options = {"fit": "stretch", "range": "0..255", "colour_order": "bgr"}
    tensor, _ = REGISTRY[task].preprocess(IMAGE, spec_of("", {}, 1, **options))
    np.testing.assert_array_equal(tensor, prepared(**options))


def test_the_old_name_of_the_range_is_still_read() -> None:
    old, new = (
        REGISTRY["classification"].preprocess(IMAGE, spec_of("", {}, 1, **options))[0]
        for options in ({"normalise": "none"}, {"range": "0..1"})
    )
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"range": "0-1"}, "options.range: '0-1' is not one of 0..1, 0..255, -1..1, imagenet"),
        ({"fit": "pad"}, "options.fit: 'pad' is not one of letterbox, corner, stretch, crop"),
        ({"colour_order": "RGB"}, "options.colour_order: 'RGB' is not one of rgb, bgr"),
        ({"mean": (1.0, 2.0)}, "options.mean: expected 1 or 3 numbers, got 2"),
        ({"std": (1.0, 0.0, 1.0)}, "options.std: expected numbers other than 0"),
    ],
)
def test_an_option_that_is_none_is_named_with_those_there_are(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=".+") as caught:
        prepared(**options)
    assert str(caught.value) == f"model mine: {said}"
