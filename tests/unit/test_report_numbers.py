"""Numbers as the report writes them."""

from __future__ import annotations

import math

import pytest

from harness.records import Interval
from harness.report.numbers import (
    PERCENTILE_NEEDS,
    figures,
    megabytes,
    percentile,
    seconds,
    shorten,
    timing,
    tiny,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (17.6234, "17.6"),
        (0.0123456, "0.0123"),
        (1234.5, "1,230"),
        (9.996, "10.0"),
        (99.96, "100"),
        (0.0, "0"),
        (-2.345, "-2.35"),
        (math.inf, "unknown"),
    ],
)
def test_three_significant_figures(value: float, text: str) -> None:
    assert figures(value) == text


def test_a_time_has_its_interval_and_its_count() -> None:
    assert timing(Interval(17.6, 17.4, 17.9), 1536) == "17.6 ms [17.4, 17.9] n=1,536"


def test_a_percentile_says_how_many_samples_it_needs() -> None:
    assert PERCENTILE_NEEDS == (("p90", 64), ("p95", 130), ("p99", 662), ("p99.9", 6640))
    assert percentile(None, 192, 662) == "needs 662 samples (n=192)"
    assert percentile(21.3, 661, 662) == "needs 662 samples (n=661)"
    assert percentile(21.3, 662, 662) == "21.3 ms"
    assert percentile(None, 7000, 6640) == "not computed"


def test_small_texts() -> None:
    assert megabytes(6_234_567) == "6.23 MB"
    assert [seconds(s) for s in (0.31, 12.34, 200, 7500)] == [
        "0.31 s",
        "12.3 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
    assert [tiny(v) for v in (2.1e-6, 0.0123, math.nan)] == ["2.1e-06", "0.0123", "not finite"]


def test_a_long_reason_is_cut_at_a_word() -> None:
    assert shorten("\n first line\nsecond") == "first line"
    short = shorten("word " * 100)
    assert len(short) <= 142
    assert short.endswith("word …")
