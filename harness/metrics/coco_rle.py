"""COCO's compressed run lengths of very many masks at once, with numpy.

The format of `rleToString` in pycocotools' maskApi.c: every count but the first three is stored as
its difference to the one two before, in groups of five bits, lowest first, each with a bit for
whether more follow, plus 48.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def compressed(rle: NDArray[np.uint32], ends: NDArray[np.int64]) -> list[bytes]:
    """Strings of n masks, whose runs stand in `rle` (m,) one after the other up to `ends` (n,)."""
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    values = differences(rle.astype(np.int32), starts, ends)
    groups = np.ones(len(values), np.uint8)
    larger, limit = np.arange(len(values)), 16
    while len(larger := larger[(values[larger] >= limit) | (values[larger] < -limit)]):
        groups[larger] += 1
        limit *= 32
    after = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
    text = np.empty(after[-1], np.uint8)
    text[after[:-1]] = group(values, groups, 0)
    for at in range(1, int(groups.max(initial=0))):
        some = np.flatnonzero(groups > at)
        text[after[some] + at] = group(values[some], groups[some], at)
    whole = text.tobytes()
    bounds = zip(after[starts].tolist(), after[ends].tolist(), strict=True)
    return [whole[start:end] for start, end in bounds]


def group(values: NDArray[np.int32], groups: NDArray[np.uint8], at: int) -> NDArray[np.uint8]:
    """Character `at` of every value that has so many `groups`."""
    bits = ((values >> (5 * at)) & 31).astype(np.uint8)
    return np.asarray(bits + np.where(groups > at + 1, np.uint8(80), np.uint8(48)))


def differences(
    counts: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Every count less the one two before, but for the first three of each mask."""
    values = counts.copy()
    values[2:] -= counts[:-2]
    for at in range(3):
        first = starts + at
        first = first[first < ends]
        values[first] = counts[first]
    return values
