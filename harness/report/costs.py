"""A cell's memory by phase, its energy, and its threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.records import PhaseMemory, Trial
from harness.report.celltables import Pairs
from harness.report.numbers import figures, megabytes
from harness.report.plots import listed


@dataclass(frozen=True)
class CostPart:
    """One piece of a bar: percent of the whole bar, and its style's number."""

    name: str
    text: str
    start: float
    width: float
    style: int


@dataclass(frozen=True)
class MemorySplit:
    """What each phase added, medians over the trials; `notes` say how it was measured."""

    total: str
    parts: tuple[CostPart, ...]
    notes: tuple[str, ...]


def memory(trials: Sequence[Trial]) -> MemorySplit | None:
    """None if no trial recorded its phases."""
    known = [t.memory for t in trials if t.memory]
    if not known:
        return None
    added = np.median([_added(m) for m in known], axis=0)
    names = ("before the runtime", "runtime", "model load", "inference")
    whole = float(np.maximum(added, 0.0).sum()) or 1.0
    widths = [100 * max(0.0, float(v)) / whole for v in added]
    starts = [sum(widths[:n]) for n in range(len(widths))]
    parts = tuple(
        CostPart(name, _signed(float(v)), round(start, 2), round(width, 2), number)
        for number, (name, v, start, width) in enumerate(
            zip(names, added, starts, widths, strict=True)
        )
    )
    total = megabytes(int(np.median([m.infer_rss_bytes for m in known])))
    return MemorySplit(total, parts, _memory_notes(known, len(trials)))


def _added(m: PhaseMemory) -> tuple[int, int, int, int]:
    return (
        m.base_rss_bytes,
        m.import_rss_bytes - m.base_rss_bytes,
        m.load_rss_bytes - m.import_rss_bytes,
        m.infer_rss_bytes - m.load_rss_bytes,
    )


def _signed(size_bytes: float) -> str:
    return megabytes(int(size_bytes)) if size_bytes else "none"


def _memory_notes(known: Sequence[PhaseMemory], trials: int) -> tuple[str, ...]:
    hows = {m.how for m in known}
    notes = ["Resident memory of the process; before the runtime: Python, numpy and images."]
    if "end" in hows:
        notes.append("Measured at the end of each phase: this system has no peak per phase.")
    else:
        notes.append("Peak of each phase.")
    if len(known) < trials:
        notes.append(f"Known for {len(known)} of {trials} trials.")
    return tuple(notes)


def energy(trials: Sequence[Trial]) -> Pairs:
    """Energy of one inference with its source; empty if not recorded."""
    known = [t.energy for t in trials if t.energy]
    if not known:
        return ()
    joules = [e.per_inference_mj for e in known if e.per_inference_mj is not None]
    tiers = tuple(dict.fromkeys(e.tier for e in known if e.tier))
    notes = tuple(dict.fromkeys(e.note for e in known if e.note))
    rows = [
        ("per inference", _spread(joules, "mJ") or "unknown"),
        ("source", "; ".join(tiers) or "none"),
        ("mean power", _spread([e.mean_w for e in known if e.mean_w is not None], "W")),
        ("idle power", _idle([e.idle_w for e in known], bool(joules))),
        *(("note", note) for note in notes),
    ]
    return tuple((name, text) for name, text in rows if text)


def _idle(values: Sequence[float | None], measured: bool) -> str:
    there = [v for v in values if v is not None]
    if there:
        return f"{_spread(there, 'W')}, subtracted"
    return "unknown, not subtracted" if measured else ""


def _spread(values: Sequence[float], unit: str) -> str:
    if not values:
        return ""
    low, middle, high = (figures(float(f(values))) for f in (np.min, np.median, np.max))
    return f"{middle} {unit}" + (f" (trials: {low} to {high})" if low != high else "")


def threads(asked: int, trials: Sequence[Trial]) -> Pairs:
    """Threads requested and busy; empty if not recorded."""
    busy = [t.busy_threads for t in trials if t.busy_threads is not None]
    if not busy and not any(t.affinity for t in trials):
        return ()
    seen = ", ".join(map(str, busy)) if len(set(busy)) > 1 else "".join(map(str, busy[:1]))
    mark = " – differs from the request" if busy and set(busy) != {asked} else ""
    cpus = dict.fromkeys(", ".join(map(str, t.affinity)) for t in trials if t.affinity)
    shares = next((t.thread_percent for t in trials if t.thread_percent), ())
    rows = (
        ("requested", str(asked)),
        ("busy in the timed loop", f"{seen}{mark}" if busy else "unknown"),
        ("CPU time by thread", ", ".join(f"{p:.0f} %" for p in shares)),
        ("total of the process", listed(sorted({str(t.os_threads) for t in trials}))),
        ("allowed CPUs", "; ".join(cpus)),
        ("sampler", _sampler(trials)),
    )
    return tuple((name, text) for name, text in rows if text)


def _sampler(trials: Sequence[Trial]) -> str:
    took = [t.sampler_cpu_percent for t in trials if t.sampler_cpu_percent is not None]
    return f"{max(took):.2g} % of one CPU" if took else ""
