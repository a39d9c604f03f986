"""Content-addressed folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cache import digest, get_or_create, tree_bytes, tree_sha256
from harness.errors import BenchError, StepFailed


def test_it_is_made_once(tmp_path: Path) -> None:
    calls = []

    def make(part: Path) -> None:
        calls.append(part)
        (part / "x").write_text("1")

    first, was_there = get_or_create(tmp_path, "kind", "key", make)
    again, is_there = get_or_create(tmp_path, "kind", "key", make)
    assert (first, was_there, is_there, len(calls)) == (again, False, True, 1)


def test_a_failure_leaves_no_entry_but_its_files_for_reading(tmp_path: Path) -> None:
    def make(part: Path) -> None:
        (part / "log.txt").write_text("why")
        raise StepFailed("broken", f"All that it printed: {part / 'log.txt'}")

    with pytest.raises(StepFailed) as raised:
        get_or_create(tmp_path, "kind", "key", make)
    assert Path(raised.value.hint.split(": ")[1]).read_text() == "why"
    assert not (tmp_path / "kind" / "key").exists()
    assert (tmp_path / "failed" / "kind-key" / "log.txt").read_text() == "why"


def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError) as raised:
        get_or_create(tmp_path / "file", "kind", "key", lambda part: None)
    assert "BENCH_CACHE" in raised.value.hint


def test_boundaries_between_parts_count() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_a_tree_s_hash_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12")
    before = tree_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert tree_sha256(tmp_path) != before
    assert tree_bytes(tmp_path) == 2
