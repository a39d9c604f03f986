"""Checks that a result is what it claims: threads and execution placement. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Placement, Trial
from ..runner.job import SMOKE_REASON


def wrong_threads(trials: Sequence[Trial], asked: int) -> list[str]:
    """A runtime that kept more threads busy than requested; empty if unknown."""
    seen = max((t.busy_threads for t in trials if t.busy_threads is not None), default=0)
    if seen <= asked:
        return []
    shares = next(t.thread_percent for t in trials if t.busy_threads == seen)
    shown = ", ".join(f"{share:.0f} %" for share in shares[:8])
    return [f"{asked} threads requested, {seen} busy in the timed loop ({shown} of its time each)"]


def unasked_places(placement: Placement | None) -> tuple[list[str], list[str]]:
    """Execution placement: what makes a cell invalid, and what is only reported.

    TFLite's own kernels for nodes without XNNPACK support are part of that runtime, and only
    reported; any other fallback invalidates the result.
    """
    if placement is None:
        return [], []
    if placement.refused:
        return [f"{placement.asked} ran no nodes ({placement.tool})"], []
    told = list(placement.unasked)
    return ([], told) if placement.asked == "XNNPACK" else (told, [])


def untrusted_profile(profile: str) -> list[str]:
    """Why results of a profile are suspect; only of smoke."""
    return [SMOKE_REASON] if profile == "smoke" else []
