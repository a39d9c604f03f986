"""What `bench doctor` says of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import checks


def test_a_cache_that_is_a_file_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    found = checks._cache()
    assert (found.state, found.seen) == ("missing", f"{tmp_path}/file is not writable")


def test_a_cache_that_is_not_there_yet_is_made_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 0)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "new" / "cache"))
    assert checks._cache().state == "ok"
    assert not (tmp_path / "new").exists()
