"""Interleaving: every cell in every round, in an order that the seed decides."""

from __future__ import annotations

from harness.records import Cell
from harness.runner.job import PROFILES
from harness.steps.measure import deadline_s, schedule

CELLS = [Cell("m", name, "fp32", "local") for name in "abcdefgh"]


def test_every_round_has_every_cell_once() -> None:
    order = schedule(CELLS, 3, seed=1)
    for index in range(3):
        entries = order[index * 8 : (index + 1) * 8]
        assert {cell for cell, _ in entries} == set(CELLS)
        assert {i for _, i in entries} == {index}


def test_the_seed_decides_the_order_and_rounds_differ() -> None:
    assert schedule(CELLS, 3, 1) == schedule(CELLS, 3, 1) != schedule(CELLS, 3, 2)
    first, second = ([c for c, i in schedule(CELLS, 2, 1) if i == index] for index in (0, 1))
    assert first != second


def test_a_deadline_is_longer_than_all_that_a_trial_may_spend() -> None:
    for rules in PROFILES.values():
        assert deadline_s(rules) > rules.warmup_cap_s + rules.cap_s + rules.stages_cap_s
