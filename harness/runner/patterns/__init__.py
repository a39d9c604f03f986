"""Arrival patterns: one module each, all with the same engine and the same timed call.

`latency_ns` is the runtime's own call in every pattern. Those with a schedule also keep
`scheduled_ns`, and their response is completion minus scheduled arrival, as LoadGen has it:
waiting in the queue, waking up and the copy of the input are in it.
"""

from __future__ import annotations

from typing import Any, Dict, Final, Protocol, Sequence

from ...formats.engine import Engine
from ...serial import from_json
from ..job import MeasureOptions
from . import camera, offline, server, single, sustained
from .spec import Fact, O, PatternSpec, Timed

__all__ = ["REGISTRY", "Fact", "Pattern", "PatternSpec", "Timed"]


class Pattern(Protocol[O]):
    """A module of this folder."""

    @property
    def SPEC(self) -> PatternSpec[O]: ...

    def run(
        self, engine: Engine, inputs: Sequence[Any], rules: MeasureOptions, options: O
    ) -> Timed:
        """The timed loop, every sample kept."""
        ...


REGISTRY: Final[Dict[str, Pattern[Any]]] = {
    "single": single,
    "offline": offline,
    "camera": camera,
    "server": server,
    "sustained": sustained,
}


def find(name: str) -> Pattern[Any]:
    """The pattern's module; raises ValueError if unknown."""
    if name not in REGISTRY:
        raise ValueError(f"unknown pattern '{name}', expected one of {', '.join(REGISTRY)}")
    return REGISTRY[name]


def options(rules: MeasureOptions) -> Any:
    """The pattern's options from the rules."""
    return from_json(find(rules.pattern).SPEC.options, rules.options, rules.pattern)


def run(engine: Engine, inputs: Sequence[Any], rules: MeasureOptions) -> Timed:
    """The timed loop of the rules' pattern."""
    return find(rules.pattern).run(engine, inputs, rules, options(rules))


def longest_loop_s(rules: MeasureOptions) -> float:
    """Upper bound of the timed loop."""
    return find(rules.pattern).SPEC.longest_s(rules, options(rules))
