"""Why a result is suspect: one line each, with its figure and advice. Pure.

A flag never removes a sample. Each has a limit and, if noise could reach the limit by
chance, a significance test: on quiet log-normal samples each is raised in at most
1 of 1,000 cells (tests/simulation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..records import DeviceState, Trial
from .drift import (
    SIGNIFICANT_Z,
    Samples,
    drift_between,
    has_two_modes,
    significantly_shifted,
    thinned,
)
from .effective_sample_size import effective_size

VARIATION_PERCENT = 2.5
DRIFT_PERCENT = 2.0
DISAGREE_PERCENT = 3.0
FREQUENCY_PERCENT = 5.0
PRESSURE_PERCENT = 10.0
BATTERY_PERCENT = 30.0
PLAUSIBLE_C = (-40.0, 150.0)

_NONE = np.empty(0, np.int64)

#: fewer samples have no 95 % interval of the median at all: 1 - 2 · 0.5^n
LEAST_SAMPLES = 6
#: fewer do not show how processes differ, which is what the headline's interval must cover
LEAST_TRIALS = 3
#: samples that count for a tenth of themselves at most
LEAST_INDEPENDENT = 0.1


def impossible(trials: Sequence[Samples]) -> list[str]:
    """Impossible samples, which make a result invalid, not suspect."""
    wrong = sum(int((samples <= 0).sum()) for samples in trials)
    if not wrong:
        return []
    total = sum(len(samples) for samples in trials)
    return [
        f"{wrong} of {total} samples are zero or negative: the clock stood still or went "
        "backwards; measure again"
    ]


#: spans of time beside the headline's that a trial keeps
SPANS = ("warmup_ns", "pre_ns", "infer_ns", "post_ns", "e2e_ns")


def backwards(trials: Sequence[Mapping[str, Samples]]) -> list[str]:
    """`impossible` for every recorded span; stages may be zero."""
    wrong = impossible([trial["latency_ns"] for trial in trials])
    if wrong:
        return wrong
    found = [name for name in SPANS if any((t.get(name, _NONE) < 0).any() for t in trials)]
    if not found:
        return []
    return [f"{found[0]} has negative values: the clock went backwards; measure again"]


def sample_flags(trials: Sequence[Samples], worth: float | None = None) -> list[str]:
    """Why the samples make the result suspect; every trial has at least one sample.

    `worth`: the effective sample size, if known.
    """
    found = (_few(trials), _variation(trials), _order(trials), _modes(trials))
    return [flag for flag in (*found, _dependence(trials, worth), _disagreement(trials)) if flag]


def trial_flags(trials: Sequence[Trial]) -> list[str]:
    """Why the processes and the device's state make the result suspect."""
    found = (_processes(trials), _warmup(trials), _cap(trials), _pressure(trials), _clock(trials))
    seen = (flag for trial in trials for flag in trial.state_flags)
    return [
        flag for flag in (*found, _battery(trials), _sensor(trials), *dict.fromkeys(seen)) if flag
    ]


def _few(trials: Sequence[Samples]) -> str:
    count = sum(len(samples) for samples in trials)
    if count >= LEAST_SAMPLES:
        return ""
    return f"{count} samples are too few for a 95 % interval (at least {LEAST_SAMPLES})"


def _variation(trials: Sequence[Samples]) -> str:
    """All trials together exceed the limit, or one exceeds it by more than chance."""
    each = [100 * float(s.std() / max(1.0, abs(s.mean()))) for s in trials]
    errors = [1 / math.sqrt(2 * len(samples)) for samples in trials]
    lower = [v / (1 + SIGNIFICANT_Z * error) for v, error in zip(each, errors, strict=True)]
    if max(math.sqrt(float(np.mean(np.square(each)))), *lower) <= VARIATION_PERCENT:
        return ""
    return f"coefficient of variation {max(each):.1f} % (limit {VARIATION_PERCENT} %)"


def _order(trials: Sequence[Samples]) -> str:
    """Drift, or else an unsteady start."""
    series = [thinned(samples) for samples in trials]
    drifts = [_moved(s, len(s) // 3, len(s) // 3) for s in series]
    worst = max(drifts, key=abs)
    if worst:
        return f"drifted by {worst:+.1f} % within a trial; let the device cool, or use profile full"
    starts = [_moved(s, len(s) // 10, len(s) // 2) for s in series]
    worst = max(starts, key=abs)
    if worst:
        return (
            f"unsteady start: {worst:+.1f} % between a trial's first tenth and its last "
            "half; warm up longer"
        )
    return ""


def _moved(samples: Samples, first: int, last: int) -> float:
    """Percent from the first to the last samples; 0 if small, or chance, or from too few."""
    if first < 10:
        return 0.0
    head, tail = samples[:first], samples[-last:]
    percent = drift_between(head, tail)
    return percent if abs(percent) > DRIFT_PERCENT and significantly_shifted(head, tail) else 0.0


def _modes(trials: Sequence[Samples]) -> str:
    if not any(has_two_modes(samples) for samples in trials):
        return ""
    return "bimodal: latency jumps between two levels; see the histogram, fix the clocks"


def _dependence(trials: Sequence[Samples], worth: float | None) -> str:
    count = sum(len(samples) for samples in trials)
    if worth is None:
        worth = sum(effective_size(samples, float(np.median(samples))) for samples in trials)
    if count < LEAST_SAMPLES or worth >= LEAST_INDEPENDENT * count:
        return ""
    return (
        f"autocorrelated (effective sample size {worth:.0f} of {count}); see the latency over time"
    )


def _disagreement(trials: Sequence[Samples]) -> str:
    medians = [float(np.median(samples)) for samples in trials]
    spread = 100 * (max(medians) - min(medians)) / max(1.0, abs(float(np.median(medians))))
    if spread <= DISAGREE_PERCENT:
        return ""
    fastest, slowest = (trials[medians.index(end)] for end in (min(medians), max(medians)))
    if len(fastest) >= 10 <= len(slowest) and not significantly_shifted(fastest, slowest):
        return ""
    return f"trials disagree by {spread:.1f} % (limit {DISAGREE_PERCENT} %); run more trials"


def _processes(trials: Sequence[Trial]) -> str:
    if len(trials) >= LEAST_TRIALS:
        return ""
    have = "1 trial does" if len(trials) == 1 else f"{len(trials)} trials do"
    return f"{have} not show the variation between processes; run at least {LEAST_TRIALS}"


def _warmup(trials: Sequence[Trial]) -> str:
    unsettled = sum(not t.settled for t in trials)
    return f"{unsettled} of {len(trials)} trials never settled during warm-up" if unsettled else ""


def _cap(trials: Sequence[Trial]) -> str:
    capped = sum(t.stopped_by == "cap" for t in trials)
    if not capped:
        return ""
    return f"{capped} of {len(trials)} trials reached the time cap before the target precision"


def _pressure(trials: Sequence[Trial]) -> str:
    """Only of unmonitored trials: in others, the load may have been bench itself."""
    alone = [t for t in trials if t.sampler_cpu_percent is None]
    pressure = max((t.before.cpu_pressure_percent or 0.0 for t in alone), default=0.0)
    if pressure <= PRESSURE_PERCENT:
        return ""
    return f"background load: tasks waited for a CPU {pressure:.0f} % of the time before a trial"


def _clock(trials: Sequence[Trial]) -> str:
    moved = max((_frequency_change_percent(t.before, t.after) for t in trials), default=0.0)
    if moved <= FREQUENCY_PERCENT:
        return ""
    return f"clock moved by {moved:.0f} % during a trial; fix the governor"


def _battery(trials: Sequence[Trial]) -> str:
    seen = [t.before.battery_percent for t in trials if t.before.battery_percent is not None]
    if not seen or min(seen) >= BATTERY_PERCENT:
        return ""
    return f"battery at {min(seen):.0f} % (at least {BATTERY_PERCENT:.0f} %)"


def _sensor(trials: Sequence[Trial]) -> str:
    """An implausible temperature, or a sensor that vanished during a trial."""
    readings = [s.hottest_c for t in trials for s in (t.before, t.after) if s.hottest_c is not None]
    absurd = [c for c in readings if not PLAUSIBLE_C[0] <= c <= PLAUSIBLE_C[1]]
    if absurd:
        return f"implausible temperature {absurd[0]:.0f} °C, ignored: the sensor is off or broken"
    if any(t.before.hottest_c is not None and t.after.hottest_c is None for t in trials):
        return "the temperature sensor vanished during a trial; temperature not monitored"
    return ""


def _frequency_change_percent(before: DeviceState, after: DeviceState) -> float:
    if not before.frequency_khz or not after.frequency_khz:
        return 0.0
    first, last = np.mean(before.frequency_khz), np.mean(after.frequency_khz)
    return float(100 * abs(last - first) / max(1.0, float(first)))
