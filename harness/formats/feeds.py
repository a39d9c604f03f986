"""From a sample's values to the arrays that a loaded model takes; never inside the timed region.

Layout, type and quantisation are those that the runtime declares. Numpy only.
"""

from __future__ import annotations

from typing import Any, Sequence, Tuple

import numpy as np

from ..records import ModelSpec, Quantisation, TensorSpec
from .engine import TURNED, Arrays

Feeds = Tuple[np.ndarray, ...]


def feeds(ready: Arrays, model: ModelSpec, inputs: Sequence[TensorSpec]) -> Feeds:
    """`ready`, in the shapes of model.yaml, as `inputs` declare them; unchanged if they are so.

    Raises ValueError for values that an integer input cannot have.
    """
    return tuple(fed(values, *pair) for values, *pair in zip(ready, model.inputs, inputs))


def fed(values: np.ndarray, said: TensorSpec, wanted: TensorSpec) -> np.ndarray:
    """One input; contiguous."""
    if said.layout != wanted.layout and values.ndim == 4:
        values = values.transpose(TURNED[wanted.layout])
    made = np.asarray(of_type(values, wanted))
    return made if made.flags.c_contiguous else np.ascontiguousarray(made)


def of_type(values: np.ndarray, wanted: TensorSpec) -> np.ndarray:
    """In the type of the input: real numbers are quantised, or rounded where it has no scale."""
    dtype = np.dtype(wanted.dtype)
    if values.dtype == dtype:
        return values
    if dtype.kind not in "iu":
        return values.astype(dtype)
    if wanted.quantisation and values.dtype.kind == "f":
        return quantised(values, wanted.quantisation, dtype)
    whole = np.rint(values) if values.dtype.kind == "f" else values
    check_range(whole, wanted, dtype)
    return whole.astype(dtype)


def quantised(values: np.ndarray, how: Quantisation, dtype: "np.dtype[Any]") -> np.ndarray:
    """Integers that stand for real values; those out of reach become the nearest."""
    limits = np.iinfo(dtype)
    steps = np.rint(values / np.float32(how.scale)) + np.float32(how.zero_point)
    return np.asarray(np.clip(steps, limits.min, limits.max)).astype(dtype)


def dequantised(values: np.ndarray, how: Quantisation) -> np.ndarray:
    """Real values, float32."""
    whole = values.astype(np.int32) - np.int32(how.zero_point)
    return np.asarray(whole * np.float32(how.scale), np.float32)


def check_range(values: np.ndarray, wanted: TensorSpec, dtype: "np.dtype[Any]") -> None:
    """Raises ValueError for what does not fit the type, or is no number."""
    if not values.size:
        return
    low, high, limits = values.min(), values.max(), np.iinfo(dtype)
    if not (low >= limits.min and high <= limits.max):
        raise ValueError(
            f"input {wanted.name} is {wanted.dtype}, which cannot hold {low:g} to {high:g}"
        )
