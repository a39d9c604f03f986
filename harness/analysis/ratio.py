"""Is one cell faster than another? A ratio with its interval, and a verdict. Pure.

Compares the trials' medians on a logarithmic scale: a trial is a process, and processes
differ by more than their samples do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..records import Interval
from .drift import Samples
from .student_t import NORMAL, student
from .summary import median_interval

Outcome = Literal["faster", "slower", "same", "inconclusive"]

#: a difference that is significantly smaller is called `same`
SAME_PERCENT = 2.0
#: up to 10 pairs count as moved alike by their rounds from this ratio of variances, sums over
#: differences (Pitman, Biometrika 31, 1939): 1 in 1,000 by chance, by number of pairs less one
ALIKE = {2: 999.0, 3: 141.1, 4: 53.44, 5: 29.75, 6: 20.03, 7: 15.02, 8: 12.05, 9: 10.11}
#: Student's t at 99.98 % for such pairs: they were chosen by their differences being small
T_9998_PAIRED = {2: 70.70, 3: 22.20, 4: 13.03, 5: 9.678, 6: 8.025, 7: 7.063, 8: 6.442, 9: 6.010}


@dataclass(frozen=True)
class Comparison:
    """`ratio` is new over old: above 1 is slower. `paired`: from differences within rounds."""

    ratio: Interval
    outcome: Outcome
    paired: bool
    trials: tuple[int, int]
    reason: str = ""


def compare(
    old: Sequence[Samples],
    new: Sequence[Samples],
    interleaved: bool = False,
    same_percent: float = SAME_PERCENT,
    one_cell: bool = True,
) -> Comparison:
    """Compare two cells by their trials; `interleaved`: trial i of both ran in the same round.

    `faster` and `slower` require 99.9 % confidence, so that 1 in 1,000 unchanged pairs is
    called changed; `same` when the 95 % interval lies within `same_percent` of 1. `one_cell`: it
    is the same cell, old and new, so its trials vary equally if nothing has changed.
    """
    floor = math.hypot(_within_error(old), _within_error(new))
    return decide(log_medians(old), log_medians(new), floor, interleaved, same_percent, one_cell)


def decide(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    floor: float = 0.0,
    interleaved: bool = False,
    same_percent: float = SAME_PERCENT,
    one_cell: bool = True,
) -> Comparison:
    """`compare` for trials' log medians; `floor`: lower bound of the standard error."""
    difference = float(after.mean() - before.mean())
    counts = (len(before), len(after))
    degrees, error, paired = _spread(before, after, interleaved, one_cell)
    if degrees < 1:
        nothing = Interval(math.exp(difference), 0.0, math.inf)
        why = "a single trial does not show the variation between trials; run at least 3 of both"
        return Comparison(nothing, "inconclusive", False, counts, why)
    reach = max(student(95.0, degrees) * error, NORMAL[95.0] * floor)
    paired_t = T_9998_PAIRED.get(degrees) if paired else None
    threshold = max((paired_t or student(99.9, degrees)) * error, NORMAL[99.9] * floor)
    ratio = Interval(
        math.exp(difference), math.exp(difference - reach), math.exp(difference + reach)
    )
    return Comparison(ratio, _outcome(difference, reach, threshold, same_percent), paired, counts)


def log_medians(trials: Sequence[Samples]) -> NDArray[np.float64]:
    """Natural logarithm of each trial's median, ns."""
    return np.log([max(1.0, float(np.median(samples))) for samples in trials])


def detectable_percent(sd: float, trials: int) -> float:
    """The change that `trials` trials a cell find 19 times in 20, in percent.

    `sd`: standard deviation of the trials' log medians. The 95 % quantile of t·s - z over draws
    of the noise's own estimate s: the change that outgrows it (a power calculation by simulation).
    """
    if trials < 2:
        return math.inf
    degrees = 2 * trials - 2
    draw = np.random.default_rng(0)
    spread = np.sqrt(draw.chisquare(degrees, 20_000) / degrees)
    needed = student(99.9, degrees) * spread - draw.standard_normal(20_000)
    effect = float(np.quantile(needed, 0.95)) * sd * math.sqrt(2 / trials)
    return 100 * (math.exp(min(effect, 50.0)) - 1)


def _spread(
    before: NDArray[np.float64], after: NDArray[np.float64], interleaved: bool, one_cell: bool
) -> tuple[int, float, bool]:
    """Degrees of freedom and standard error of the difference; whether it is of pairs.

    Few pairs: not as pairs, with up to twice the degrees of freedom, unless the rounds moved both
    cells alike. That is then merely conservative: it counts what the pairs share as noise.
    """
    m, n = len(before), len(after)
    if interleaved and m == n >= 3 and _alike(before, after):
        return n - 1, float((after - before).std(ddof=1)) / math.sqrt(n), True
    if min(m, n) < 2:
        return 0, math.inf, False
    a, b = float(before.var(ddof=1)), float(after.var(ddof=1))
    if one_cell:
        degrees = m + n - 2
        pooled = ((m - 1) * a + (n - 1) * b) / degrees
        return degrees, math.sqrt(pooled * (1 / m + 1 / n)), False
    return _welch(a / m, b / n, m, n), math.sqrt(a / m + b / n), False


def _welch(a: float, b: float, m: int, n: int) -> int:
    """Degrees of freedom of two unequal variances of means, rounded down (Welch 1947)."""
    if a + b <= 0:
        return min(m, n) - 1
    return math.floor((a + b) ** 2 / (a**2 / (m - 1) + b**2 / (n - 1)) + 1e-9)


def _alike(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    """More than 10 pairs are always compared as pairs."""
    least = ALIKE.get(len(before) - 1, 0.0)
    return float((after + before).var(ddof=1)) >= least * float((after - before).var(ddof=1))


def _within_error(trials: Sequence[Samples]) -> float:
    """Standard error of the mean log median that the samples themselves leave; a lower bound."""
    total = 0.0
    for samples in trials:
        interval = median_interval(samples)
        half = (interval.high - interval.low) / (2 * max(1.0, abs(interval.value)))
        total += (half / NORMAL[95.0]) ** 2
    return math.sqrt(total) / len(trials)


def _outcome(difference: float, reach: float, threshold: float, same_percent: float) -> Outcome:
    if abs(difference) + reach <= math.log1p(same_percent / 100):
        return "same"
    if abs(difference) > threshold:
        return "slower" if difference > 0 else "faster"
    return "inconclusive"
