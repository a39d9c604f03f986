"""COCO's compressed run lengths of very many masks at once, with numpy.

The format of `rleToString` in pycocotools' maskApi.c: every count but the first three is stored as
its difference to the one two before, in groups of five bits, lowest first, each with a bit for
whether more follow, plus 48.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_GROUPS: Final = 12
"""Groups of five bits in a count; more do not fit into 64 bits."""
CHUNK: Final = 2**20
"""Characters that are decompressed at once."""


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
    """Character `at` of every value with `groups` groups."""
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


def decompressed(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The inverse: runs (m,) of all masks, up to `ends` (n,); a damaged text has none."""
    texts = [text if text.isascii() else "" for text in texts]
    lengths = np.array([len(text) for text in texts], np.int64)
    code = np.frombuffer("".join(texts).encode(), np.uint8).astype(np.int16) - 48
    filled, text_ends = lengths > 0, np.cumsum(lengths)
    more = (code & 32) != 0
    sound = filled.copy()
    sound[filled] = ~more[text_ends[filled] - 1]
    more[text_ends[filled] - 1] = False
    last = np.flatnonzero(~more)
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    ends = np.searchsorted(last, text_ends)
    wrong = last - first >= MOST_GROUPS
    wrong |= np.logical_or.reduceat((code < 0) | (code > 63), first) if len(first) else wrong
    runs = summed(joined_groups(code, first, last), ends)
    sound &= ~any_in(wrong | (runs < 0), ends)
    counts = np.diff(ends, prepend=0)
    return runs[np.repeat(sound, counts)], np.cumsum(np.where(sound, counts, 0))


def pixels(texts: Sequence[str]) -> NDArray[np.int64]:
    """How many pixels the runs of each text cover; 0 for a damaged one."""
    found, start = [np.zeros(0, np.int64)], 0
    limits = np.cumsum([len(text) for text in texts]) // CHUNK
    for end in [*(np.flatnonzero(np.diff(limits)) + 1).tolist(), len(texts)]:
        runs, ends = decompressed(texts[start:end])
        found.append(np.diff(np.append(0, np.cumsum(runs))[ends], prepend=0))
        start = end
    return np.concatenate(found)


def joined_groups(
    code: NDArray[np.int16], first: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Counts from groups of five bits at `first`..`last`, the sign in the last one's high bit."""
    groups = last - first + 1
    values = (code[first] & 31).astype(np.int64)
    for at in range(1, min(int(groups.max(initial=0)), MOST_GROUPS)):
        some = np.flatnonzero(groups > at)
        values[some] |= (code[first[some] + at] & 31).astype(np.int64) << (5 * at)
    negative = (code[last] & 16) != 0
    values[negative] -= np.int64(1) << (5 * np.minimum(groups[negative], MOST_GROUPS))
    return values


def summed(values: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The inverse of `differences`: every count but the first three adds the one two before."""
    counts = np.diff(ends, prepend=0)
    starts = np.repeat(ends - counts, counts)
    within = np.arange(len(values)) - starts
    runs = values.copy()
    for chain in (within % 2 == 1, (within % 2 == 0) & (within > 0)):
        total = np.concatenate([[0], np.cumsum(np.where(chain, values, 0))])
        runs[chain] = (total[1:] - total[starts])[chain]
    return runs


def any_in(marks: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any of the marks up to each of `ends` (n,), from the one before, is set."""
    return np.asarray(np.diff(np.append(0, np.cumsum(marks))[ends], prepend=0) > 0)
