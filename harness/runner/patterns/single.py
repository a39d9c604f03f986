"""Back-to-back samples until the median is precise enough: the default."""

from __future__ import annotations

from typing import Any, Sequence

from ...formats.engine import Engine
from ..job import MeasureOptions
from ..loop import timed_loop
from .spec import NoOptions, PatternSpec, Timed

SPEC = PatternSpec(about="back to back", options=NoOptions, loadgen="SingleStream")


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, options: NoOptions) -> Timed:
    """The tight loop of docs/measurement.md."""
    start_ns, latency_ns, capped = timed_loop(engine, inputs, rules)
    return Timed({"start_ns": start_ns, "latency_ns": latency_ns}, capped)
