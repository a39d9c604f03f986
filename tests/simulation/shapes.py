"""Made-up latencies with the shapes of real ones: (runs, trials, samples) int64 ns.

The population is all samples of all processes; `true_median` is its median.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEDIAN_NS = 10e6
SHAPES = ("log-normal", "bimodal", "drifting", "autocorrelated")


def draw(
    shape: str,
    counts: tuple[int, int, int],
    between: float,
    within: float = 0.03,
    seed: int = 0,
) -> NDArray[np.int64]:
    """`between`: sd of the trials' factors; `within`: sd of the samples' logarithms."""
    rng = np.random.default_rng(seed)
    effects = between * rng.standard_normal(counts[:2])
    return _samples(shape, effects, counts[2], within, rng)


@functools.cache
def true_median(shape: str, between: float, within: float = 0.03) -> float:
    """By 4,000 trials whose effects stand for the whole normal distribution."""
    rng = np.random.default_rng(99)
    effects = between * np.sort(rng.standard_normal((2000,)))
    grid = np.concatenate([effects, -effects])[None, :]
    return float(np.median(_samples(shape, grid, 500, within, rng)))


def autoregressive(rho: float, counts: tuple[int, ...], rng: np.random.Generator) -> Array:
    """AR(1) of unit variance along the last axis."""
    noise = rng.standard_normal(counts)
    for i in range(1, counts[-1]):
        noise[..., i] = rho * noise[..., i - 1] + math.sqrt(1 - rho**2) * noise[..., i]
    return noise


def _samples(
    shape: str, effects: Array, count: int, within: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    counts = (*effects.shape, count)
    logs = effects[..., None] + within * (
        autoregressive(0.8, counts, rng)
        if shape == "autocorrelated"
        else rng.standard_normal(counts)
    )
    if shape == "bimodal":
        logs += math.log(1.15) * (rng.random(counts) < 0.3)
    if shape == "drifting":
        slopes = 0.04 + 0.01 * rng.standard_normal(effects.shape)
        logs += slopes[..., None] * np.linspace(0, 1, count)
    return (MEDIAN_NS * np.exp(logs)).astype(np.int64)


def shown(what: str, figure: float) -> float:
    """`figure`, printed for who runs `pytest tests/simulation -rP`."""
    print(f"{what}: {figure:.4g}")
    return figure
