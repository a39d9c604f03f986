from __future__ import annotations

import pytest

from harness.errors import DeviceLost
from harness.monitor.retry import Redone, run_with_redo

HOT = "throttled: the clock fell"


def tried(verdicts: list[str | None], most: int = 2) -> tuple[Redone[int], list[int]]:
    tries: list[int] = []
    done = run_with_redo(lambda n: tries.append(n) or n, lambda n: verdicts[n], most)  # type: ignore[func-returns-value]
    return done, tries


def test_a_trial_that_stands_is_run_once() -> None:
    assert tried([None]) == (Redone(0), [0])


def test_a_void_trial_is_run_again_and_told() -> None:
    assert tried([HOT, "hot", None]) == (Redone(2, (HOT, "hot")), [0, 1, 2])


def test_after_two_more_tries_it_is_invalid() -> None:
    done, tries = tried(["a", "b", HOT, None])
    assert tries == [0, 1, 2]
    assert done == Redone(2, ("a", "b"), f"discarded 3 times; last reason: {HOT}")


def test_redo_can_be_forbidden() -> None:
    assert tried([HOT], most=0) == (Redone(0, (), f"discarded; last reason: {HOT}"), [0])


def test_a_failure_is_not_tried_again() -> None:
    tries = []

    def run(attempt: int) -> None:
        tries.append(attempt)
        raise DeviceLost("dut: gone")

    with pytest.raises(DeviceLost):
        run_with_redo(run, lambda _: HOT)
    assert tries == [0]
