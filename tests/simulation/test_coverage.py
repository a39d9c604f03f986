"""Intervals hold what they promise, on samples that are not as well-behaved as textbooks'."""

from __future__ import annotations

import numpy as np
import pytest
from shapes import MEDIAN_NS, SHAPES, autoregressive, draw, shown, true_median

from harness.analysis import summary
from harness.runner.loop import _half_width_percent as half_width_percent

RUNS = 2000
LEAST = 0.94
#: what quick and full give at least: trials, samples a trial
PROFILES = ((3, 64), (5, 662))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("trials", "samples"), PROFILES)
@pytest.mark.parametrize("between", [0.005, 0.02])
def test_the_headline_covers_at_95_percent(
    shape: str, trials: int, samples: int, between: float
) -> None:
    truth = true_median(shape, between)
    runs = draw(shape, (RUNS, trials, samples), between, seed=trials)
    intervals = [summary.headline(list(run)) for run in runs]
    hits = [i.low <= truth <= i.high for i in intervals]
    assert shown("coverage", float(np.mean(hits))) >= LEAST


@pytest.mark.parametrize("within", [0.03, 0.06])
def test_the_headline_covers_when_each_trial_ends_as_soon_as_it_looks_narrow(within: float) -> None:
    """The loop's own rule: at least 64 samples, and half of the interval within 1 %."""
    truth = true_median("log-normal", 0.005, within)
    runs = draw("log-normal", (RUNS, 3, 512), 0.005, within, seed=17)
    intervals = [summary.headline([_until_narrow(trial) for trial in run]) for run in runs]
    hits = [i.low <= truth <= i.high for i in intervals]
    assert shown("coverage", float(np.mean(hits))) >= LEAST


def _until_narrow(samples: np.ndarray) -> np.ndarray:
    count = 64
    while count < len(samples) and half_width_percent(samples[:count]) > 1.0:
        count += 32
    return samples[:count]


@pytest.mark.parametrize("samples", [64, 662])
def test_the_interval_of_one_trial_covers_at_95_percent(samples: int) -> None:
    assert _covered(draw("log-normal", (RUNS, 1, samples), 0.0, seed=5)[:, 0]) >= LEAST


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.8, 0.9])
def test_the_interval_of_one_trial_covers_when_samples_depend_on_each_other(rho: float) -> None:
    noise = autoregressive(rho, (RUNS, 662), np.random.default_rng(6))
    assert _covered((MEDIAN_NS * np.exp(0.03 * noise)).astype(np.int64)) >= LEAST


#: coverage without it, at most, by how much samples depend on each other
WITHOUT = {0.0: 0.97, 0.3: 0.93, 0.5: 0.88, 0.8: 0.65, 0.9: 0.55}


@pytest.mark.parametrize("rho", WITHOUT)
def test_without_the_effective_sample_size_it_would_not(rho: float) -> None:
    noise = autoregressive(rho, (RUNS, 662), np.random.default_rng(7))
    assert _covered((MEDIAN_NS * np.exp(0.03 * noise)).astype(np.int64), 662.0) < WITHOUT[rho]


def test_a_hierarchical_bootstrap_would_not_cover_with_three_trials() -> None:
    runs = draw("log-normal", (500, 3, 64), 0.02, seed=8)
    rng = np.random.default_rng(9)
    hits = [_bootstrap_covers(run, rng) for run in runs]
    assert shown("coverage", float(np.mean(hits))) < 0.85


def _covered(trials: np.ndarray, worth: float | None = None) -> float:
    intervals = [summary.median_interval(samples, worth) for samples in trials]
    return shown("coverage", float(np.mean([i.low <= MEDIAN_NS <= i.high for i in intervals])))


def _bootstrap_covers(run: np.ndarray, rng: np.random.Generator) -> bool:
    """Trials drawn with replacement, then samples of each; percentiles of 400 medians."""
    trials, samples = run.shape
    chosen = rng.integers(0, trials, (400, trials, 1))
    again = run[chosen, rng.integers(0, samples, (400, trials, samples))]
    low, high = np.quantile(np.median(again.reshape(400, -1), axis=1), [0.025, 0.975])
    return bool(low <= MEDIAN_NS <= high)
