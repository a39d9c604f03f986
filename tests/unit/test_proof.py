"""Numbers that are not of what they say."""

from __future__ import annotations

from dataclasses import replace

from records_for_tests import trial

from harness.analysis import proof
from harness.records import Placed, Placement

WHOLE = Placement("CPU", (Placed("CPU", 9, 1.0, 1.0),), (), False, "tool", 20, 3.0)


def test_more_busy_threads_than_asked_for_are_named_with_their_shares() -> None:
    trials = [
        replace(trial(0), busy_threads=1, thread_percent=(99.0,)),
        replace(trial(1), busy_threads=3, thread_percent=(98.6, 60.0, 58.0, 1.0)),
    ]
    assert proof.wrong_threads(trials, 2) == [
        "2 threads requested, 3 busy in the timed loop (99 %, 60 %, 58 %, 1 % of its time each)"
    ]
    assert proof.wrong_threads(trials, 3) == []


def test_unknown_threads_speak_against_nothing() -> None:
    assert proof.wrong_threads([trial(0)], 1) == []


def test_a_fallback_nobody_asked_for_is_invalid() -> None:
    reason = "3 of 9 nodes (33.3 %) ran on CPU: Resize"
    placed = replace(WHOLE, asked="CUDAExecutionProvider", unasked=(reason,))
    assert proof.unasked_places(placed) == ([reason], [])
    assert proof.unasked_places(WHOLE) == ([], [])
    assert proof.unasked_places(None) == ([], [])


def test_what_xnnpack_lacks_is_told_and_only_no_node_at_all_is_invalid() -> None:
    reason = "3 of 9 nodes (33.3 %) ran on TFLite's own kernels: GATHER"
    part = replace(WHOLE, asked="XNNPACK", unasked=(reason,))
    assert proof.unasked_places(part) == ([], [reason])
    none = replace(part, refused=True)
    assert proof.unasked_places(none) == (["XNNPACK ran no nodes (tool)"], [])


def test_smoke_is_not_trusted() -> None:
    assert proof.untrusted_profile("full") == proof.untrusted_profile("quick") == []
    assert "use quick or full" in proof.untrusted_profile("smoke")[0]
