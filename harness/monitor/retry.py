"""A void trial is measured again, at most twice; then its cell is invalid, and says why. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

#: how often a void trial is measured again
MOST = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Redone(Generic[T]):
    """The last try, why each earlier one was void, and why this one is not to be believed."""

    result: T
    voided: tuple[str, ...] = ()
    #: None when the last try stands
    invalid: str | None = None


def run_with_redo(
    run: Callable[[int], T], judge: Callable[[T], str | None], most: int = MOST
) -> Redone[T]:
    """`run(0)`; while `judge` says why it is void, `run(1)` and so on, at most `most` more.

    What `run` raises goes through: a failure is not a void trial.
    """
    voided: list[str] = []
    while True:
        result = run(len(voided))
        reason = judge(result)
        if reason is None:
            return Redone(result, tuple(voided))
        if len(voided) == most:
            tries = f"discarded in all of {most + 1} tries" if most else "discarded"
            return Redone(result, tuple(voided), f"{tries}; the last: {reason}")
        voided.append(reason)
