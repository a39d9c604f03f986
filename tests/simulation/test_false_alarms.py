"""Flags stay silent on quiet samples, and speak when there is something to say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from shapes import MEDIAN_NS, autoregressive, draw, shown

from harness.analysis.flags import sample_flags

#: at 1 in 1,000 the chance of more alarms than this among 2,000 cells is under 1 %
CELLS, MOST = 2000, 6


@pytest.mark.parametrize(
    ("trials", "samples", "within"), [(3, 64, 0.005), (3, 64, 0.02), (5, 662, 0.02)]
)
def test_quiet_log_normal_samples_raise_no_flag(trials: int, samples: int, within: float) -> None:
    cells = draw("log-normal", (CELLS, trials, samples), 0.003, within, seed=11)
    raised = Counter(flag.split(" ")[0] for cell in cells for flag in sample_flags(list(cell)))
    assert shown(f"alarms in {CELLS}", max(raised.values(), default=0)) <= MOST, raised


def test_noisy_log_normal_samples_raise_the_flag_of_noise_alone() -> None:
    cells = draw("log-normal", (CELLS, 3, 64), 0.003, 0.05, seed=12)
    raised = Counter(flag.split(" ")[0] for cell in cells for flag in sample_flags(list(cell)))
    assert raised.pop("coefficient") == CELLS
    assert shown(f"alarms in {CELLS}", max(raised.values(), default=0)) <= MOST, raised


@pytest.mark.parametrize(
    ("shape", "begins"), [("drifting", "drifted by"), ("bimodal", "bimodal: ")]
)
def test_what_is_there_is_found(shape: str, begins: str) -> None:
    cells = draw(shape, (100, 3, 662), 0.003, 0.01, seed=13)
    found = [any(flag.startswith(begins) for flag in sample_flags(list(cell))) for cell in cells]
    assert np.mean(found) >= 0.95


def test_a_slow_start_is_found() -> None:
    cells = draw("log-normal", (100, 3, 662), 0.003, 0.01, seed=14).astype(float)
    cells[:, 0, :66] *= 1.05
    flags = [sample_flags(list(cell.astype(np.int64))) for cell in cells]
    assert np.mean([any(f.startswith("unsteady start") for f in found) for found in flags]) >= 0.95


def test_autocorrelated_samples_are_found() -> None:
    noise = autoregressive(0.95, (100, 3, 662), np.random.default_rng(15))
    cells = (MEDIAN_NS * np.exp(0.01 * noise)).astype(np.int64)
    flags = [sample_flags(list(cell)) for cell in cells]
    assert np.mean([any(f.startswith("autocorrelated") for f in found) for found in flags]) >= 0.95


def test_trials_that_disagree_are_found() -> None:
    cells = draw("log-normal", (200, 3, 64), 0.0, 0.01, seed=16).astype(float)
    cells[:, 1] *= 1.05
    flags = [sample_flags(list(cell.astype(np.int64))) for cell in cells]
    assert np.mean([any("disagree" in f for f in found) for found in flags]) >= 0.95
