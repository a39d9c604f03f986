"""The noise floor of a device: one cell measured against itself (A/A).

The trials of one cell are split at random (seeded) into two sides, round by round; any difference
between the sides is noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import BenchError
from ..records import Interval
from ..runner.job import PROFILES, TRIALS, TRUSTED
from ..serial import Malformed, dumps, loads
from ..store import Run, read_samples
from .compare_runs import Compared, Pair
from .drift import Samples
from .effective_sample_size import effective_size
from .host_noise import Machine, advice, machine_in
from .ratio import (
    SAME_PERCENT,
    Comparison,
    compare,
    detectable_percent,
    log_medians,
)
from .student_t import student
from .summary import headline


@dataclass(frozen=True)
class Noise:
    """`noise/<device>.json`: the noise of one device, measured once; percent of the median."""

    device: str
    taken_at: str
    run_id: str
    cell_id: str
    profile: str
    #: of each side
    trials: int
    p50_ms: Interval
    #: the two sides, which are the same thing; anything but `same` is noise
    sides: Comparison
    #: standard deviation of trials, of trials cut to quick's length, and of samples within a trial
    between_percent: float
    quick_between_percent: float
    within_percent: float
    #: independent samples over samples
    independent_share: float
    #: two measurements of one and the same cell differ by less 19 times in 20, by profile
    floor_percent: dict[str, float]
    #: smallest change that a comparison finds 19 times in 20, by profile
    detectable_percent: dict[str, float]
    #: headline of what quick would have measured over the whole's; None: measured with quick
    quick_ratio: float | None
    #: None: measured with quick, or their intervals are too wide to tell
    quick_agrees: bool | None
    steal_percent: float | None
    pressure_percent: float | None
    machine: Machine
    flags: tuple[str, ...]
    advice: tuple[str, ...]
    #: this machine's name, where the device is this machine; other hosts have their own noise
    host: str = ""


def scenario(model: str, format: str, device: str, profile: str, trials: int) -> str:
    """YAML of the A/A run: one cell, twice the trials."""
    return (
        f"name: noise\nmodels: [{model}]\nformats: [{format}]\ndevices: [{device}]\n"
        f"measure: {{profile: {profile}, trials: {2 * trials}}}\n"
    )


def analyse(run: Run, machine: Machine | None, steal: float | None) -> Noise:
    """The noise in a finished A/A run; raises BenchError if its cell has no samples,
    or is invalid.

    `machine`, `steal`: of this machine if it was measured, else None; then the trials' own
    records are used.
    """
    result = run.results[0]
    if result.summary is None:
        raise BenchError(
            f"{result.cell.id}: {'; '.join(result.reasons)}",
            "Correct the failure, then check the noise again.",
        )
    if result.verdict == "invalid":
        raise BenchError(
            f"{result.cell.id}: invalid: {'; '.join(result.reasons)}",
            f"Correct the cause, then check the noise again; the samples are in {run.folder}.",
        )
    ordered = sorted(result.trials, key=lambda trial: trial.index)
    samples = [read_samples(run.folder, trial) for trial in ordered]
    latency = [s["latency_ns"] for s in samples]
    between = float(log_medians(latency).std(ddof=1))
    short = _cut(latency) if run.info.profile == "full" else latency
    sds = {"quick": float(log_medians(short).std(ddof=1)), "full": between}
    pressures = [t.before.cpu_pressure_percent for t in ordered]
    pressure = max((p for p in pressures if p is not None), default=None)
    local = machine is not None
    machine = machine or machine_in(ordered[0].before)
    degrees = len(ordered) - 1
    quick = headline(short[: TRIALS["quick"]]) if run.info.profile == "full" else None
    return Noise(
        device=result.cell.device,
        taken_at=result.finished_at,
        run_id=run.info.run_id,
        cell_id=result.cell.id,
        profile=run.info.profile,
        trials=len(ordered) // 2,
        p50_ms=result.summary.p50,
        sides=compare(*split(latency), interleaved=True),
        between_percent=100 * between,
        quick_between_percent=100 * sds["quick"],
        host=run.info.host if local else "",
        within_percent=100 * float(np.median([s.std() / s.mean() for s in latency])),
        independent_share=_independent_share(latency),
        floor_percent={p: floor_percent(sds[p], degrees, TRIALS[p], TRIALS[p]) for p in TRUSTED},
        detectable_percent={p: detectable_percent(sds[p], TRIALS[p]) for p in TRUSTED},
        quick_ratio=quick.value / headline(latency).value if quick else None,
        quick_agrees=agrees(quick, headline(latency)) if quick else None,
        steal_percent=steal,
        pressure_percent=pressure,
        machine=machine,
        flags=result.reasons,
        advice=advice(machine, steal, pressure),
    )


def split(trials: Sequence[Samples], seed: int = 0) -> tuple[list[Samples], list[Samples]]:
    """Adjacent trials, randomly one to each side; an odd last one is dropped."""
    coin = random.Random(seed)
    sides: tuple[list[Samples], list[Samples]] = ([], [])
    for first in range(0, len(trials) - 1, 2):
        heads = coin.randrange(2)
        sides[heads].append(trials[first])
        sides[1 - heads].append(trials[first + 1])
    return sides


def floor_percent(sd: float, degrees: int, old: int, new: int) -> float:
    """By how much two equal cells of `old` and `new` trials differ, 19 times in 20.

    `sd`: of trials' log medians, with `degrees` degrees of freedom; a prediction
    interval, so that the uncertainty of `sd` itself is in it.
    """
    reach = student(95.0, degrees) * sd * math.sqrt(1 / old + 1 / new)
    return 100 * (math.exp(min(reach, 50.0)) - 1)


def with_notes(compared: Compared, cache: Path) -> Compared:
    """Adds a note to each difference below the known noise floor of its device."""
    devices = {side.device for pair in compared.pairs for side in (pair.old, pair.new) if side}
    known = {device: load(cache, device) for device in devices}
    pairs = tuple(_noted(pair, known) for pair in compared.pairs)
    return replace(compared, pairs=pairs)


def _noted(pair: Pair, known: dict[str, Noise | None]) -> Pair:
    found = pair.comparison
    if not (found and pair.old and pair.new and pair.old.device == pair.new.device):
        return pair
    noise = known.get(pair.new.device)
    if noise is None or found.outcome == "same" or not found.ratio.value > 0:
        return pair
    if noise.host and {noise.host} != {pair.old.host, pair.new.host}:
        return pair
    shortest = min(pair.old.n / found.trials[0], pair.new.n / found.trials[1])
    whole = shortest >= PROFILES["full"].min_samples
    sd = noise.between_percent if whole else noise.quick_between_percent
    floor = floor_percent(sd / 100, 2 * noise.trials - 1, *found.trials)
    apart = 100 * (math.exp(abs(math.log(found.ratio.value))) - 1)
    if apart >= floor:
        return pair
    note = (
        f"{apart:.1f} % is below the noise floor of {noise.device}, {floor:.1f} % with "
        f"{found.trials[0]}+{found.trials[1]} trials (check-noise of {noise.taken_at[:10]}, "
        f"{noise.cell_id})"
    )
    return replace(pair, notes=(*pair.notes, note))


def path_of(cache: Path, device: str) -> Path:
    """The file of a device's noise."""
    return cache / "noise" / f"{device}.json"


def save(cache: Path, noise: Noise) -> Path:
    """Write `noise/<device>.json`, replacing an older one."""
    path = path_of(cache, noise.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(dumps(noise, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def load(cache: Path, device: str) -> Noise | None:
    """The last check of a device; None if there is none, or of another version.

    A run from elsewhere may name its device anything.
    """
    if Path(device).name != device:
        return None
    try:
        return loads(Noise, path_of(cache, device).read_bytes(), "noise")
    except (OSError, Malformed):
        return None


def _cut(trials: Sequence[Samples]) -> list[Samples]:
    """Each trial truncated to the minimum of profile quick."""
    rules = PROFILES["quick"]
    cut: list[Samples] = []
    for latency in trials:
        least = int(np.searchsorted(np.cumsum(latency) / 1e9, rules.min_s)) + 1
        cut.append(latency[: max(rules.min_samples, least)])
    return cut


def agrees(quick: Interval, whole: Interval) -> bool | None:
    """Whether two medians agree; None if wide, overlapping intervals are inconclusive."""
    if abs(quick.value / whole.value - 1) <= SAME_PERCENT / 100:
        return True
    return None if quick.low <= whole.high and whole.low <= quick.high else False


def _independent_share(trials: Sequence[Samples]) -> float:
    worth = sum(effective_size(s, float(np.median(s))) for s in trials)
    return worth / sum(len(s) for s in trials)
