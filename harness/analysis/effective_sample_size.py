"""Effective sample size of a series. Pure; reads samples in time order.

Consecutive latencies are autocorrelated, so 1,000 samples in a row may carry no more information
than 100 independent ones. An interval that ignores this is too narrow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: longer series are averaged into so many batches first; keeps a million samples cheap
BATCHES = 4096


def effective_size(samples: NDArray[np.int64], level: float) -> float:
    """Number of independent samples that estimate `level` (a quantile) equally well: 1 to n.

    The variance of a sample quantile under dependence is that of the mean of `x <= level` (Sen,
    J. Multivariate Analysis 2, 1972; Heidelberger and Lewis, Operations Research 32, 1984). Its
    autocovariances are summed by Geyer's initial monotone sequence (Statistical Science 7, 1992).
    """
    below = samples <= level
    share = float(below.mean())
    alone = share * (1 - share)
    series = _batched(below)
    mean_variance = _long_run_variance(series) / len(series)
    if alone == 0 or mean_variance <= 0:
        return float(len(samples))
    return float(min(len(samples), max(1.0, alone / mean_variance)))


def _batched(series: NDArray[np.bool_]) -> NDArray[np.float64]:
    size = -(-len(series) // BATCHES)
    whole = len(series) // size * size
    means: NDArray[np.float64] = series[:whole].reshape(-1, size).mean(axis=1)
    return means


def _long_run_variance(series: NDArray[np.float64]) -> float:
    """Sum of all autocovariances: n times the variance of the mean of n."""
    covariance = _autocovariance(series)
    pairs = covariance[0 : len(covariance) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ended = np.flatnonzero(pairs <= 0)
    kept = pairs[: ended[0]] if len(ended) else pairs
    return float(2 * np.minimum.accumulate(kept).sum() - covariance[0]) if len(kept) else 0.0


def _autocovariance(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lags 0 to n/2, divided by n (positive definite); by the fast Fourier transform."""
    n = len(series)
    padded = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(series - series.mean(), padded)
    return np.fft.irfft(np.abs(spectrum) ** 2, padded)[: max(2, n // 2)] / n
