"""A cell's tables: percentiles, trials, device state, parity, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness import metrics
from harness.records import CellResult, DeviceState, Parity, RunInfo, Summary, Trial
from harness.report.data import TrialSamples
from harness.report.numbers import (
    PERCENTILE_NEEDS,
    bounds,
    figures,
    megabytes,
    percentile,
    seconds,
    tiny,
)

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A caption, column heads and rows; the first column of a row is its head."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    #: how a click on each head sorts: `number`, `text`, or empty; none: it does not sort
    sort: tuple[str, ...] = ()


def percentiles(summary: Summary) -> Pairs:
    """The median with its interval, and each percentile or the samples it would need."""
    values = (summary.p90_ms, summary.p95_ms, summary.p99_ms, summary.p999_ms)
    middle = f"{figures(summary.p50.value)} ms {bounds(summary.p50)}"
    rest = zip(PERCENTILE_NEEDS, values, strict=True)
    return (
        ("median", middle),
        *((name, percentile(value, summary.n, needs)) for (name, needs), value in rest),
    )


def costs(summary: Summary) -> Pairs:
    """Costs besides the headline: loading, first run, stages, memory."""
    named = (
        ("load", summary.load_ms),
        ("first run", summary.first_ms),
        ("preprocess", summary.pre_ms),
        ("inference (stages)", summary.infer_ms),
        ("postprocess", summary.post_ms),
        ("end to end", summary.e2e_ms),
    )
    times = tuple((name, f"{figures(v)} ms") for name, v in named if v is not None)
    return (*times, ("peak memory", megabytes(summary.peak_rss_bytes)))


def accuracy(result: CellResult) -> Pairs:
    """Every score, the headline's first."""
    if result.scores is None:
        return ()
    seen, known = result.scores.values, metrics.values()
    rows = [(v.title, v.text(seen[name], more=1)) for name, v in known.items() if name in seen]
    rows += [(name, f"{value:.4f}") for name, value in seen.items() if name not in known]
    return (*rows, ("pictures", f"{result.scores.images:,} of {result.scores.dataset}"))


def trials(made: Sequence[Trial], samples: Sequence[TrialSamples]) -> Table:
    """One row per trial: what it measured and how it ended."""
    heads = ("Trial", "Median ms", "n", "Import ms", "Load ms", "First ms", "Settled",
             "Stopped by", "Peak RSS MB", "OS threads", "Wall")  # fmt: skip
    rows = tuple(_trial(trial, one) for trial, one in zip(made, samples, strict=True))
    return Table("Trials, each in a fresh process", heads, rows)


def _trial(trial: Trial, samples: TrialSamples) -> tuple[str, ...]:
    there = samples.latency_ms.size
    return (
        str(trial.index),
        figures(float(np.median(samples.latency_ms))) if there else "unknown",
        f"{there:,}",
        figures(trial.import_ms),
        figures(trial.load_ms),
        figures(trial.first_ms),
        "yes" if trial.settled else "no: warm-up reached its limit",
        trial.stopped_by,
        figures(trial.peak_rss_bytes / 1e6),
        str(trial.os_threads),
        seconds(trial.wall_s),
    )


def remarks(made: Sequence[Trial]) -> tuple[str, ...]:
    """Warnings on each trial, its discarded attempts, and what is unknown."""
    told = []
    for t in made:
        told += [f"Trial {t.index}: earlier attempt discarded: {why}" for why in t.voided]
        told += [f"Trial {t.index}: last attempt disturbed as well: {t.void}"] if t.void else []
        told += [f"Trial {t.index}: {flag}" for flag in t.state_flags]
    unknown = dict.fromkeys(note for t in made for note in t.state_notes)
    if unbound := dict.fromkeys(name for t in made for name in t.unbound):
        names = ", ".join(unbound)
        told.append(f"Allocated in each run, since its shape depends on the input: {names}")
    return (*told, *(f"Unknown: {note}" for note in unknown))


def device(made: Sequence[Trial]) -> Table:
    """Readings before → after each trial; rows without readings are omitted."""
    readings = [(_readings(t.before), _readings(t.after)) for t in made]
    names = [
        name for name in _readings(DeviceState("")) if any(a[name] or b[name] for a, b in readings)
    ]
    rows = tuple((name, *(_change(a[name], b[name]) for a, b in readings)) for name in names)
    heads = ("Reading", *(f"Trial {t.index}" for t in made))
    return Table("Device state before → after each trial", heads, rows)


def _readings(state: DeviceState) -> dict[str, str]:
    """Text of each reading, empty where unknown."""
    mhz = sorted(khz / 1000 for khz in state.frequency_khz or ())
    return {
        "governor": state.governor or "",
        "frequency MHz": f"{mhz[0]:,.0f} to {mhz[-1]:,.0f}" if mhz else "",
        "hottest °C": _known(state.hottest_c),
        "load (1 min)": _known(state.load_1m, 2),
        "tasks waiting for a CPU %": _known(state.cpu_pressure_percent),
        "free memory MB": _known((state.memory_available_bytes or 0) / 1e6 or None, 0),
        "battery %": _known(state.battery_percent, 0),
    }


def _known(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _change(before: str, after: str) -> str:
    if before == after:
        return before
    return f"{before or 'unknown'} → {after or 'unknown'}"


def parity_outputs(parity: Parity) -> Table:
    """Raw outputs compared with the reference."""
    rows = tuple(
        (o.name, tiny(o.max_abs), tiny(o.max_rel), f"{o.cosine:.6f}", tiny(o.scale))
        for o in parity.outputs
    )
    heads = ("Output", "Max abs", "Max rel", "Cosine", "Scale")
    return Table(f"Raw outputs compared with the reference on {parity.images} samples", heads, rows)


def parity_boxes(parity: Parity) -> Pairs:
    """How many of the reference's detections are matched."""
    share = f"{parity.matched_boxes:,} of {parity.reference_boxes:,}"
    rows = [("matched", share), ("extra detections", f"{parity.extra_boxes:,}")]
    rows += (
        [("lowest IoU of a match", f"{parity.min_iou:.4f}")] if parity.min_iou is not None else []
    )
    if parity.max_score_difference is not None:
        rows.append(("largest score difference", tiny(parity.max_score_difference)))
    if parity.metric_ratio is not None:
        rows.append(("metric relative to the reference", f"{parity.metric_ratio:.4f}"))
    return tuple(rows)


def provenance(result: CellResult, info: RunInfo) -> Pairs:
    """Provenance of the result; empty values are omitted."""
    image, artifact = result.image, result.artifact
    trial = result.trials[0] if result.trials else None
    known = trial.before if trial else DeviceState("")
    rows = (
        ("engine", image.engine if image else info.engine),
        ("confinement", image.confinement if image else info.confinement),
        ("image", f"{image.name} {image.digest}" if image else ""),
        ("converted", result.route),
        ("artifact sha256", artifact.sha256 if artifact else ""),
        ("artifact size", megabytes(artifact.size_bytes) if artifact else ""),
        ("computes in", result.compute),
        ("runtime version", trial.runtime_version if trial else ""),
        ("Python", trial.python_version if trial else ""),
        ("system", known.os or ""),
        ("processor", f"{known.cpu_model}, {known.cores} cores" if known.cpu_model else ""),
        ("harness", f"{info.harness_version} sha256 {info.harness_sha256}"),
        ("git", info.git),
        ("plan sha256", info.plan_sha256),
        ("measured", f"{result.started_at} to {result.finished_at}"),
    )
    return tuple((name, text) for name, text in rows if text)
