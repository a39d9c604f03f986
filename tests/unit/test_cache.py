"""Content-addressed folders appear whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.cache import digest, get_or_create, tree_bytes, tree_sha256, waiting
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
        raise StepFailed("broken", f"See the log {part / 'log.txt'}.")

    with pytest.raises(StepFailed) as raised:
        get_or_create(tmp_path, "kind", "key", make)
    assert Path(raised.value.hint.removeprefix("See the log ").rstrip(".")).read_text() == "why"
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


MAKE = """
import sys, time
from pathlib import Path
from harness.cache import get_or_create
def make(part):
    (part / "begun").touch()
    print("begun", flush=True)
    sys.stdin.readline()
    (part / "whole").write_text("1")
get_or_create(Path(sys.argv[1]), "kind", "key", make)
"""


def make_elsewhere(root: Path) -> subprocess.Popen[str]:
    """A process that makes the entry, and waits for a line before it is whole."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def never(part: Path) -> None:
    pytest.fail("it was made twice")


def test_an_entry_has_one_maker_and_who_waits_for_it_is_told_which(tmp_path: Path) -> None:
    said: list[str] = []
    with make_elsewhere(tmp_path) as other, waiting(said.append):
        timer = threading.Timer(0.5, other.communicate, ["\n"])
        timer.start()
        folder, was_there = get_or_create(tmp_path, "kind", "key", never)
        timer.join()
    assert was_there
    assert (folder / "whole").read_text() == "1"
    assert len(said) == 1
    assert said[0].startswith("waiting: cache entry kind/key is in use by ")
    assert f"pid {other.pid}" in said[0]
    assert list((tmp_path / "locks").iterdir()) == []


def test_an_entry_whose_maker_was_killed_is_made_by_who_waited(tmp_path: Path) -> None:
    with make_elsewhere(tmp_path) as other:
        timer = threading.Timer(0.3, other.kill)
        timer.start()
        folder, was_there = get_or_create(
            tmp_path, "kind", "key", lambda part: (part / "whole").touch()
        )
        timer.join()
    assert not was_there
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_two_entries_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with make_elsewhere(tmp_path) as other:
        assert not get_or_create(tmp_path, "kind", "another", lambda part: None)[1]
        assert not get_or_create(tmp_path, "sort", "key", lambda part: None)[1]
        other.communicate("\n")
