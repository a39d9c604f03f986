"""A comparison finds what is there and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from shapes import MEDIAN_NS, SHAPES, draw, shown

from harness.analysis import noise_floor, ratio
from harness.analysis.ratio import Comparison, compare, decide

#: at 1 in 1,000 the chance of more alarms than this among 20,000 pairs is under 1 %
PAIRS, MOST = 20_000, 31


def pairs(
    shape: str,
    between: float,
    within: float,
    shift: float = 1.0,
    rounds: float = 0.0,
    counts: tuple[int, int, int] = (PAIRS, 5, 66),
    seed: int = 21,
) -> tuple[np.ndarray, np.ndarray]:
    """Old and new samples; `rounds`: sd of what a round does to both cells alike."""
    old = draw(shape, counts, between, within, seed).astype(float)
    new = draw(shape, counts, between, within, seed + 1).astype(float) * shift
    alike = np.exp(rounds * np.random.default_rng(seed + 2).standard_normal((*counts[:2], 1)))
    return (old * alike).astype(np.int64), (new * alike).astype(np.int64)


def verdicts(samples: tuple[np.ndarray, np.ndarray]) -> list[Comparison]:
    return [compare(list(a), list(b), interleaved=True) for a, b in zip(*samples, strict=True)]


def alarms(samples: tuple[np.ndarray, np.ndarray]) -> int:
    """Without the floor of the samples' own error, which only makes a verdict more careful."""
    old, new = (np.log(np.median(side, axis=2)) for side in samples)
    found = [decide(a, b, interleaved=True) for a, b in zip(old, new, strict=True)]
    return int(
        shown(f"alarms in {len(found)}", sum(c.outcome in ("faster", "slower") for c in found))
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_unchanged_pairs_are_not_called_changed(shape: str) -> None:
    assert alarms(pairs(shape, 0.01, 0.03)) <= MOST


@pytest.mark.parametrize(("between", "rounds"), [(0.05, 0.0), (0.01, 0.05), (0.0, 0.0)])
def test_nor_are_pairs_on_a_restless_or_a_silent_machine(between: float, rounds: float) -> None:
    assert alarms(pairs("log-normal", between, 0.03, rounds=rounds, seed=31)) <= MOST


@pytest.mark.parametrize(("times", "most"), [(3.0, 100), (10.0, 180)])
def test_one_cell_that_was_restless_in_one_run_is_called_changed_more_often(
    times: float, most: int
) -> None:
    """What pooling costs where its assumption fails; docs/statistics.md says so."""
    rng = np.random.default_rng(44)
    old, new = (rng.normal(0, sd, (PAIRS, 5)) for sd in (0.01, 0.01 * times))
    found = [decide(a, b) for a, b in zip(old, new, strict=True)]
    changed = sum(c.outcome in ("faster", "slower") for c in found)
    assert MOST < shown(f"alarms in {PAIRS}", changed) <= most


@pytest.mark.parametrize("times", [1.0, 3.0, 10.0])
def test_nor_are_two_cells_of_which_one_is_restless(times: float) -> None:
    """Welch's degrees of freedom are an estimate, too: about 1 in 1,000, surely under 2."""
    rng = np.random.default_rng(43)
    old, new = (rng.normal(0, sd, (PAIRS, 5)) for sd in (0.01, 0.01 * times))
    found = [decide(a, b, interleaved=True, one_cell=False) for a, b in zip(old, new, strict=True)]
    changed = sum(c.outcome in ("faster", "slower") for c in found)
    assert shown(f"alarms in {PAIRS}", changed) <= 40


def test_nor_are_pairs_of_three_trials() -> None:
    assert alarms(pairs("log-normal", 0.01, 0.03, counts=(PAIRS, 3, 64), seed=41)) <= MOST


#: the last: trials that vary by 1 % show 5 % in 95 of 100; samples that vary by 5 %, for which
#: their cell is flagged, take from it
POWER = {(0.005, 0.02): 0.99, (0.005, 0.05): 0.99, (0.01, 0.02): 0.95, (0.01, 0.05): 0.93}


@pytest.mark.parametrize(("between", "within"), POWER)
def test_a_5_percent_shift_is_found_with_what_full_gives(between: float, within: float) -> None:
    counts = (1000, 5, 662)
    found = verdicts(pairs("log-normal", between, within, 1.05, counts=counts, seed=51))
    share = float(np.mean([c.outcome == "slower" for c in found]))
    assert shown("found", share) >= POWER[between, within]


@pytest.mark.parametrize(("between", "least"), [(0.005, 0.99), (0.008, 0.95)])
def test_a_5_percent_difference_of_two_cells_is_found(between: float, least: float) -> None:
    rng = np.random.default_rng(55)
    old, new = rng.normal(0, between, (2, 4000, 5))
    found = [decide(a, b + math.log(1.05), one_cell=False) for a, b in zip(old, new, strict=True)]
    assert shown("found", float(np.mean([c.outcome == "slower" for c in found]))) >= least


def test_rounds_that_move_both_cells_are_cancelled_by_pairing() -> None:
    found = verdicts(
        pairs("log-normal", 0.003, 0.02, 1.05, rounds=0.05, counts=(500, 5, 662), seed=61)
    )
    assert shown("found", float(np.mean([c.outcome == "slower" for c in found]))) >= 0.9
    assert np.mean([c.paired for c in found]) >= 0.95


def test_the_interval_of_the_ratio_covers_at_95_percent() -> None:
    found = verdicts(pairs("log-normal", 0.01, 0.03, 1.05, counts=(2000, 5, 66), seed=71))
    hits = [c.ratio.low <= 1.05 <= c.ratio.high for c in found]
    assert shown("coverage", float(np.mean(hits))) >= 0.94


def test_equal_cells_on_a_quiet_machine_are_the_same() -> None:
    found = verdicts(pairs("log-normal", 0.003, 0.02, counts=(300, 5, 662), seed=81))
    assert np.mean([c.outcome == "same" for c in found]) >= 0.95


@pytest.mark.parametrize("trials", [3, 5])
def test_equal_cells_stay_under_the_noise_floor_19_times_in_20(trials: int) -> None:
    """The floor from an A/A run of twice the trials, then two measurements of one cell."""
    rng = np.random.default_rng(95)
    sds = rng.normal(0, 0.01, (4000, 2 * trials)).std(axis=1, ddof=1)
    old, new = rng.normal(0, 0.01, (2, 4000, trials)).mean(axis=2)
    apart = 100 * np.expm1(np.abs(new - old))
    under = [
        a <= noise_floor.floor_percent(float(sd), 2 * trials - 1, trials, trials)
        for a, sd in zip(apart, sds, strict=True)
    ]
    assert math.isclose(shown("under the floor", float(np.mean(under))), 0.95, abs_tol=0.012)


def test_the_power_formula_agrees_with_the_simulation() -> None:
    shift = 1 + ratio.detectable_percent(0.01, 5) / 100
    logs = [np.random.default_rng(s).normal(0, 0.01, (4000, 5)) for s in (91, 92)]
    medians = [MEDIAN_NS * np.exp(x) * f for x, f in zip(logs, (1.0, shift), strict=True)]
    difference = np.log(medians[1]).mean(1) - np.log(medians[0]).mean(1)
    spread = np.sqrt(sum(np.log(m).var(1, ddof=1) for m in medians) / 5)
    found = float(np.mean(difference > 5.041 * spread))
    assert math.isclose(found, 0.95, abs_tol=0.012)
