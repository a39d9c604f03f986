"""What the rest of bench knows of a metric: its values and their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ..records import Precision

Direction = Literal["higher", "lower"]
#: `drop`, `rise`: against the fp32 reference; `min`, `max`: of the value itself
GateKind = Literal["drop", "rise", "min", "max"]

_KINDS: Final[dict[Direction, tuple[GateKind, ...]]] = {
    "higher": ("drop", "min"),
    "lower": ("rise", "max"),
}
_ABOUT: Final[dict[GateKind, str]] = {
    "drop": "Maximum drop of {} relative to the fp32 reference.",
    "rise": "Maximum rise of {} relative to the fp32 reference.",
    "min": "Minimum {}.",
    "max": "Maximum {}.",
}


@dataclass(frozen=True)
class Held:
    """How much worse than the fp32 reference a value may be; a cell that exceeds it fails."""

    allowed: Mapping[Precision, float]
    #: `allowed` is a share of the reference's value; False: it is in the value's own unit
    relative: bool = True


#: limits for a metric in 0..1, as a share of the reference
USUAL: Final = Held({"fp32": 0.001, "fp16": 0.01, "int8": 0.02})


@dataclass(frozen=True)
class Value:
    """One value of a metric: its export column, and where it is checked and shown."""

    #: column of the export, key of `Scores.values`
    name: str
    title: str
    better: Direction = "higher"
    #: decimals on a page
    digits: int = 3
    unit: str = ""
    #: None: reported only, not compared with the reference
    held: Held | None = None
    #: limits that a scenario may set: the keys `<name>_<kind>` of its `gates:`
    gates: tuple[GateKind, ...] = ()
    #: how much worse than the reference still counts as accurate without a gate
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        for kind in self.gates:
            if kind not in _KINDS[self.better]:
                raise ValueError(f"{self.name}: {self.better} is better, so it has no {kind} gate")

    @property
    def label(self) -> str:
        """The title with its unit, for an axis or a column."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def change_gate(self) -> str:
        """The key of the gate against the reference."""
        return f"{self.name}_{_KINDS[self.better][0]}"

    def worse_by(self, value: float, reference: float) -> float:
        """How much worse `value` is than `reference`; negative where it is better."""
        return reference - value if self.better == "higher" else value - reference

    def best(self, values: Iterable[float]) -> float | None:
        """The best value; None if empty."""
        return (max if self.better == "higher" else min)(values, default=None)

    def text(self, value: float, more: int = 0) -> str:
        """`0.812`, `3.1 px`; with `more` decimals than in the pages' tables."""
        return f"{value:.{self.digits + more}f}" + (f" {self.unit}" if self.unit else "")


@dataclass(frozen=True)
class Gate:
    """A limit on a value that a scenario may set."""

    value: Value
    kind: GateKind

    @property
    def key(self) -> str:
        """Its name under `gates:`."""
        return f"{self.value.name}_{self.kind}"

    @property
    def about(self) -> str:
        """One sentence for the schema."""
        return _ABOUT[self.kind].format(self.value.label)

    @property
    def on_reference(self) -> bool:
        """Whether it limits the change against the fp32 reference."""
        return self.kind in ("drop", "rise")

    def excess(self, limit: float, value: float, reference: float) -> str:
        """The violation, `0.0082 > 0.001`; empty if the limit is met."""
        shown = self.value.digits + 1
        seen = self.value.worse_by(value, reference) if self.on_reference else value
        over = limit - seen if self.kind == "min" else seen - limit
        if over <= 1e-9:  # a difference that is due to the arithmetic alone
            return ""
        return f"{seen:.{shown}f} {'<' if self.kind == 'min' else '>'} {limit:g}"


@dataclass(frozen=True)
class MetricSpec:
    """A metric's values; the first is the headline of the tasks that it scores."""

    title: str
    values: tuple[Value, ...]

    @property
    def headline(self) -> Value:
        """The value that represents accuracy."""
        return self.values[0]

    @property
    def shown(self) -> tuple[Value, ...]:
        """Values with a column on the front page: the headline, and those with a limit."""
        return tuple(v for v in self.values if v is self.headline or v.held)
