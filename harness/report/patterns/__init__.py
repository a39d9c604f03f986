"""Arrival patterns other than back to back: figures and a plot.

A pattern without a module here has the figures that its SPEC names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.records import Arrivals, Trial
from harness.report.celltables import Pairs, Table
from harness.report.data import TrialSamples
from harness.report.page import Chart
from harness.report.patterns import camera, offline, server, sustained
from harness.report.patterns.section import Section, over_trials
from harness.runner import patterns
from harness.runner.patterns import Fact, PatternSpec

REGISTRY: Final[dict[str, Section]] = {
    "offline": offline.SECTION,
    "camera": camera.SECTION,
    "server": server.SECTION,
    "sustained": sustained.SECTION,
}


@dataclass(frozen=True)
class PatternShown:
    """What the cell's page shows of its arrivals."""

    title: str
    facts: Pairs
    chart: Chart | None
    table: Table | None


def pattern(trials: Sequence[Trial], samples: Sequence[TrialSamples]) -> PatternShown | None:
    """None for back-to-back samples, or if not recorded."""
    pairs = [(t, s) for t, s in zip(trials, samples, strict=True) if t.arrivals]
    every = [t.arrivals for t, _ in pairs if t.arrivals]
    kinds = {arrivals.pattern for arrivals in every}
    known = patterns.REGISTRY.get(kinds.pop()) if len(kinds) == 1 else None
    if known is None or not known.SPEC.title:
        return None
    section = REGISTRY.get(every[0].pattern)
    drawn = [pair for pair in pairs if pair[1].latency_ms.size]
    return PatternShown(
        title=known.SPEC.title,
        facts=(*_facts(known.SPEC, every), *(section.facts(every) if section else ())),
        chart=section.chart(drawn) if section and drawn else None,
        table=section.table(pairs) if section else None,
    )


def _facts(spec: PatternSpec[object], every: Sequence[Arrivals]) -> Pairs:
    rows = [("images/s", over_trials([a.samples_per_s for a in every]))]
    rows += [(fact.title, _text(fact, every)) for fact in spec.facts]
    return tuple((name, text) for name, text in rows if text)


def _text(fact: Fact, every: Sequence[Arrivals]) -> str:
    values = [fact.read(arrivals) for arrivals in every]
    if not fact.total:
        return over_trials(values, fact.unit)
    total = sum(value for value in values if value is not None)
    digits, unit = (0 if total == round(total) else 3), f" {fact.unit}" if fact.unit else ""
    known = any(value is not None for value in values)
    return f"{total:,.{digits}f}{unit} in all trials" if known else ""
