"""A page made of parts that every page can have, so that it needs no template of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.celltables import Pairs, Table
from harness.report.page import Chart, Page


@dataclass(frozen=True)
class Part:
    """A heading and what stands under it; empty ones are left out."""

    title: str
    text: tuple[str, ...] = ()
    chart: Chart | None = None
    facts: Pairs = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Parts:
    """What parts.html shows."""

    lead: str
    parts: tuple[Part, ...]


def page(path: str, title: str, lead: str, parts: Sequence[Part]) -> Page:
    """A page with a sentence on top, then its parts."""
    charts = tuple(part.chart for part in parts if part.chart)
    return Page(path, title, "parts.html", Parts(lead, tuple(parts)), charts)
