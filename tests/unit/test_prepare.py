"""What a run makes ahead, side by side."""

from __future__ import annotations

import pytest

from harness.run.prepare import shares


@pytest.mark.parametrize(
    ("cpus", "parts"),
    [
        ((0, 1), [(0,), (1,)]),
        ((0, 1, 2, 3, 4), [(0, 2, 4), (1, 3)]),
        ((7,), [(7,), (7,)]),
    ],
)
def test_jobs_side_by_side_have_cpus_of_their_own(
    cpus: tuple[int, ...], parts: list[tuple[int, ...]]
) -> None:
    assert shares(cpus, 2) == parts
