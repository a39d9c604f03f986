"""Repeats a discarded trial, at most twice; then its cell is invalid. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

#: how often a discarded trial is measured again
MOST = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Redone(Generic[T]):
    """The last attempt, why earlier ones were discarded, and why this one is invalid."""

    result: T
    voided: tuple[str, ...] = ()
    #: None when the last try stands
    invalid: str | None = None


def run_with_redo(
    run: Callable[[int], T], judge: Callable[[T], str | None], most: int = MOST
) -> Redone[T]:
    """Call `run(0)`; while `judge` gives a reason to discard it, up to `most` more.

    Exceptions of `run` propagate: a failure is not a discarded trial.
    """
    voided: list[str] = []
    while True:
        result = run(len(voided))
        reason = judge(result)
        if reason is None:
            return Redone(result, tuple(voided))
        if len(voided) == most:
            tries = f"discarded {most + 1} times" if most else "discarded"
            return Redone(result, tuple(voided), f"{tries}; last reason: {reason}")
        voided.append(reason)
