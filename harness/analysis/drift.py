"""The shape of a trial's samples: drift and modes. Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int64]

#: a shift counts from so many standard errors of the rank sum: 1 in 16,000 by chance
SIGNIFICANT_Z = 4.0
#: longer series are thinned to medians of so many batches for the tests of order
BATCHES = 4096


def drift_between(first: Samples, last: Samples) -> float:
    """Change of the median from `first` to `last`, in percent of the first."""
    before, after = float(np.median(first)), float(np.median(last))
    return 100 * (after - before) / max(1.0, abs(before))


def significantly_shifted(first: Samples, last: Samples) -> bool:
    """Whether two stretches differ by more than chance: rank sum, normal approximation.

    Mann and Whitney, Annals of Mathematical Statistics 18, 1947. Order within a stretch is
    ignored, so a slow wave counts as a shift: it does shift the median.
    """
    m, n = len(first), len(last)
    ordered = np.sort(first)
    below = np.searchsorted(ordered, last, "left") + np.searchsorted(ordered, last, "right")
    u = float(below.sum()) / 2
    return abs(u - m * n / 2) > SIGNIFICANT_Z * math.sqrt(m * n * (m + n + 1) / 12)


def has_two_modes(samples: Samples) -> bool:
    """Whether samples fall into two clusters: Otsu's split of the logarithms explains ≥ 85 % of
    their variance, each side holds ≥ 10 % and their medians are ≥ 5 % apart.

    Otsu, IEEE Trans. Systems, Man and Cybernetics 9, 1979. The highest percent is ignored here
    (and only here), so that a few interruptions do not hide two modes.
    """
    if len(samples) < 30:
        return False
    ordered = np.sort(samples)[: math.ceil(0.99 * len(samples))]
    values = np.log(np.maximum(ordered[:: -(-len(ordered) // BATCHES)], 1))
    n = len(values)
    count = np.arange(1, n)
    total = np.cumsum(values)
    left, right = total[:-1] / count, (total[-1] - total[:-1]) / (n - count)
    between = count * (n - count) / n**2 * (left - right) ** 2
    between[(count < 0.1 * n) | (count > 0.9 * n)] = 0
    split = int(np.argmax(between)) + 1
    apart = float(np.median(values[split:]) - np.median(values[:split]))
    variance = float(values.var())
    return variance > 0 and float(between[split - 1]) / variance >= 0.85 and apart >= math.log(1.05)


def thinned(samples: Samples) -> Samples:
    """A long series reduced to the medians of at most BATCHES stretches, in order."""
    size = -(-len(samples) // BATCHES)
    if size == 1:
        return samples
    whole = len(samples) // size * size
    middle: Samples = np.median(samples[:whole].reshape(-1, size), axis=1).astype(np.int64)
    return middle
