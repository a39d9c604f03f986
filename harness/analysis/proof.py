"""Whether a number is of what it says: its threads, and what ran where. One reason a line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Placement, Trial
from ..runner.job import SMOKE_REASON


def wrong_threads(trials: Sequence[Trial], asked: int) -> list[str]:
    """A runtime that kept more threads busy than the cell asks for; nothing where it is unknown."""
    seen = max((t.busy_threads for t in trials if t.busy_threads is not None), default=0)
    if seen <= asked:
        return []
    shares = next(t.thread_percent for t in trials if t.busy_threads == seen)
    shown = ", ".join(f"{share:.0f} %" for share in shares[:8])
    return [
        f"asked for {asked} threads, {seen} worked in the timed loop ({shown} of its time each)"
    ]


def unasked_places(placement: Placement | None) -> tuple[list[str], list[str]]:
    """What makes a cell invalid, and what is only to be told, of where its nodes ran.

    TFLite's own kernels for what XNNPACK lacks are part of that runtime, and told with their
    share; anywhere else a fallback that nobody asked for makes the number one of something else.
    """
    if placement is None:
        return [], []
    if placement.refused:
        return [f"{placement.asked} took no node at all ({placement.tool})"], []
    told = list(placement.unasked)
    return ([], told) if placement.asked == "XNNPACK" else (told, [])


def untrusted_profile(profile: str) -> list[str]:
    """Why the numbers of a profile are not to be believed; only smoke's are not."""
    return [SMOKE_REASON] if profile == "smoke" else []
