from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from harness.tasks import rle

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def packed(runs: NDArray[np.uint32], size: tuple[int, int]) -> dict[str, object]:
    """The runs as pycocotools packs them."""
    found: dict[str, object] = coco_mask.frPyObjects({"size": size, "counts": runs.tolist()}, *size)
    return found


@settings(deadline=None)
@given(masks)
def test_runs_are_those_of_pycocotools(mask: NDArray[np.bool_]) -> None:
    size = (mask.shape[0], mask.shape[1])
    wanted = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert packed(rle.encode(mask, size), size) == wanted


@settings(deadline=None)
@given(masks)
def test_a_mask_comes_back_from_its_runs(mask: NDArray[np.bool_]) -> None:
    size = (mask.shape[0], mask.shape[1])
    runs = rle.encode(mask, size)
    assert runs.dtype == np.uint32
    assert runs.sum() == mask.size
    np.testing.assert_array_equal(rle.decode(runs, size), mask)


@settings(deadline=None)
@given(masks, st.tuples(*[st.integers(0, 3)] * 4))
def test_a_part_is_put_where_it_belongs(
    mask: NDArray[np.bool_], around: tuple[int, int, int, int]
) -> None:
    above, below, left, right = around
    whole = np.pad(mask, ((above, below), (left, right)))
    size = (whole.shape[0], whole.shape[1])
    np.testing.assert_array_equal(rle.encode(mask, size, (above, left)), rle.encode(whole, size))


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        (np.zeros((2, 3), np.bool_), [6]),
        (np.ones((2, 3), np.bool_), [0, 6]),
        (np.array([[0, 1], [1, 0]], np.bool_), [1, 2, 1]),
        (np.array([[1, 0], [0, 1]], np.bool_), [0, 1, 2, 1]),
    ],
)
def test_runs_begin_with_the_background(mask: NDArray[np.bool_], runs: list[int]) -> None:
    assert rle.encode(mask, (mask.shape[0], mask.shape[1])).tolist() == runs
