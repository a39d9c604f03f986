"""One value that a metric yields, with all that the rest of bench wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """`name` is the export column, `title` what pages call it."""

    name: str
    title: str
    higher_is_better: bool = True
    #: whether a converted model's must not be worse than its fp32 reference's
    held: bool = True
    #: key under a scenario's `gates:` for how much worse it may be; empty: no gate
    gate: str = ""

    def worse_by(self, value: float, reference: float) -> float:
        """By how much `value` is worse than the reference's; negative when it is better."""
        return reference - value if self.higher_is_better else value - reference
