"""What is stored and what it takes; only what is shown is deleted, and nothing behind links."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from records_for_tests import write_run

from harness import cli
from harness.cli import browser, shared, stored_text
from harness.containers import Built
from harness.errors import BenchError
from harness.housekeeping import cached, disk
from harness.housekeeping.runs import StoredRun, old_runs, stored_runs
from harness.run import one_off
from harness.store import RunFolder, read_run, sole_writer, writer

DAY_S = 86_400.0


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(one_off, "old_images", lambda engine: [])
    monkeypatch.setattr(one_off, "sweep", lambda engine: 0)
    return tmp_path


def bench(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    sys.argv = ["bench", *argv]
    with pytest.raises(SystemExit) as stop:
        cli.main()
    seen = capsys.readouterr()
    return int(stop.value.code or 0), seen.out, seen.err


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def stored(name: str, *, days: float = 0.0, finished: bool = True, scenario: str = "rio") -> Path:
    """A run that was started so many days ago."""
    run = write_run(Path("runs") / name)
    started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * DAY_S))
    info = replace(
        read_run(run.folder).info,
        started_at=started,
        scenario=scenario,
        finished_at=started if finished else None,
    )
    RunFolder(run.folder).write_info(info)
    return run.folder


# ---- bench runs --------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_with_cells_verdicts_and_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored("20260101T000000-rio", days=40)
    stored("20260210T000000-rio", days=3, finished=False)
    code, out, err = bench(capsys, "runs")
    assert (code, err) == (0, f"project: {tmp_path}\n")
    head, new, old, note = (line.split() for line in out.splitlines())
    assert head == [
        "run", "scenario", "started", "age", "ok", "failed", "skipped", "verdicts", "size",
    ]  # fmt: skip
    assert new[:2] == ["20260210T000000-rio", "rio"]
    assert " ".join(note) == "20260210T000000-rio: unfinished, 0 cells left"
    assert " ".join(new[4:-2]) == "3 d 1 1 1 1 valid"
    assert " ".join(old[4:-2]) == "40 d 1 1 1 1 valid"
    assert old[-1] == "kB"


def test_a_narrow_terminal_leaves_out_what_the_id_says() -> None:
    run = StoredRun("20260101T000000-rio", Path("r"), 10**9, "rio", started_at="2026-01-01T00:00")
    columns, (row,) = stored_text.run_table([run], 1e9, 80)
    assert columns == ["run", "age", "ok", "failed", "skipped", "verdicts", "size"]
    assert (row[0], row[-1]) == ("20260101T000000-rio", "1.0 GB")


def test_runs_as_json_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored("r1")
    code, out, _ = bench(capsys, "runs", "--json")
    (line,) = out.splitlines()
    found = json.loads(line)
    assert code == 0
    assert found["size_bytes"] == disk.size_bytes(folder) > 1000
    assert {key: found[key] for key in ("run_id", "scenario", "cells", "verdicts", "planned")} == {
        "run_id": "r1",
        "scenario": "rio",
        "cells": {"ok": 1, "failed": 1, "skipped": 1},
        "verdicts": {"valid": 1, "suspect": 0, "invalid": 0},
        "planned": 3,
    }


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored("r1")
    (stored("r2") / "run.json").write_text("{")
    code, out, _ = bench(capsys, "runs")
    assert (code, "r2" in out, "r2: unreadable: run.json:" in out, "r1" in out) == (
        0,
        True,
        True,
        True,
    )


# ---- bench runs rm -----------------------------------------------------------------------------


def test_a_run_is_deleted_after_it_was_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored("r1")
    stored("r2")
    code, out, err = bench(capsys, "runs", "rm", "r1", "--dry-run")
    assert (code, out.splitlines()[1].split()[:2]) == (0, ["run", "r1"])
    assert out.splitlines()[-1].startswith("would delete 1 item, ")
    code, out, err = bench(capsys, "runs", "rm", "r1")
    assert (code, err.splitlines()[1:]) == (
        2,
        [
            "error: cannot ask for confirmation: not a terminal",
            "→ Pass --yes to delete without asking.",
        ],
    )
    assert names("runs") == ["r1", "r2"]
    code, out, err = bench(capsys, "runs", "rm", "r1", "--yes")
    assert (code, out.splitlines()[-1].startswith("deleted 1 item, ")) == (0, True)
    assert names("runs") == ["r2"]


@pytest.mark.parametrize(("answer", "left"), [(True, []), (False, ["r1"])])
def test_on_a_terminal_the_person_is_asked(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: bool,
    left: list[str],
) -> None:
    folder = stored("r1")
    asked: list[str] = []
    monkeypatch.setattr(shared.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(
        shared.typer, "confirm", lambda question, err: (asked.append(question), answer)[1]
    )
    size = f"{disk.size_bytes(folder) / 1000:.1f} kB"
    assert bench(capsys, "runs", "rm", "r1")[0] == (0 if answer else 1)
    assert asked == [f"Delete 1 item, {size}?"]
    assert names("runs") == left


def test_an_unfinished_run_is_deleted_only_when_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored("r1", finished=False)
    code, _, err = bench(capsys, "runs", "rm", "r1", "--yes")
    assert (code, err.splitlines()[1:]) == (
        2,
        [
            "error: r1: unfinished (interrupted or still running)",
            "→ Resume the run, or delete it with --unfinished.",
        ],
    )
    assert bench(capsys, "runs", "rm", "r1", "--yes", "--unfinished")[0] == 0
    assert names("runs") == []


def test_of_a_run_that_is_a_link_only_the_link_goes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    there = write_run(tmp_path / "elsewhere" / "r1").folder
    RunFolder(there).write_info(replace(read_run(there).info, finished_at="f"))
    Path("runs").mkdir()
    Path("runs/r1").symlink_to(there)
    code, out, _ = bench(capsys, "runs", "rm", "r1", "--yes")
    assert (code, f"link; {there} is kept" in " ".join(out.split())) == (0, True)
    assert (names("runs"), (there / "run.json").is_file()) == ([], True)


def test_links_inside_of_a_run_are_not_followed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "data").write_text("x" * 10**6)
    folder = stored("r1")
    (folder / "cells" / "link").symlink_to(tmp_path / "precious")
    assert disk.size_bytes(folder) < 10**6
    assert bench(capsys, "runs", "rm", "r1", "--yes")[0] == 0
    assert (tmp_path / "precious" / "data").is_file()


@pytest.mark.parametrize("name", ["../outside/r1", "{tmp}/outside/r1"])
def test_a_run_of_another_folder_is_not_deleted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    stored("r1")
    outside = write_run(tmp_path / "outside" / "r1").folder
    os.chdir(tmp_path / "runs")
    argv = ("--project", str(tmp_path), "runs", "rm", name.format(tmp=tmp_path), "--yes")
    code, _, err = bench(capsys, *argv)
    assert (code, f"not a run in {tmp_path}/runs" in err) == (2, True)
    assert (outside / "run.json").is_file()


def test_nothing_outside_of_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(BenchError) as caught:
        disk.remove(tmp_path / "a", tmp_path / "b")
    assert caught.value.message == f"{tmp_path}/a: not in {tmp_path}/b"
    assert (tmp_path / "a").is_dir()


# ---- bench prune -------------------------------------------------------------------------------


def run_of(name: str, days: float, scenario: str = "rio", finished: str | None = "f") -> StoredRun:
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(1e9 - days * DAY_S))
    return StoredRun(name, Path(name), 1, scenario, started_at=at, finished_at=finished)


@pytest.mark.parametrize(
    ("rule", "old"),
    [
        ({}, []),
        ({"older_than_s": 30 * DAY_S}, ["b", "d"]),
        ({"keep_last": 1}, ["c", "b"]),
        ({"keep_last": 0}, ["a", "c", "b", "d"]),
        ({"older_than_s": 30 * DAY_S, "keep_last": 1}, ["b"]),
        ({"older_than_s": 30 * DAY_S, "unfinished": True}, ["b", "e", "d"]),
    ],
)
def test_runs_are_old_by_age_unless_they_are_among_the_last_of_their_scenario(
    rule: dict[str, float], old: list[str]
) -> None:
    runs = [
        run_of("a", 1),
        run_of("b", 40),
        run_of("c", 20),
        run_of("d", 90, "other"),
        run_of("e", 50, "third", finished=None),
    ]
    found = old_runs(runs, now=1e9, **rule)  # type: ignore[arg-type]
    assert [run.id for run in found] == old


def test_old_runs_are_pruned_and_an_unfinished_one_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored("new", days=1)
    stored("old", days=40)
    stored("torn", days=40, finished=False)
    code, out, _ = bench(capsys, "prune", "runs", "--older-than", "30d", "--dry-run")
    assert (code, [line.split()[:2] for line in out.splitlines()[1:-1]]) == (0, [["run", "old"]])
    assert bench(capsys, "prune", "runs", "--older-than", "30d", "--yes")[0] == 0
    assert names("runs") == ["new", "torn"]


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 1000)
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))
    return path


def test_the_cache_gives_back_what_failed_and_what_was_not_used(tmp_path: Path) -> None:
    cache, now = tmp_path / "cache", time.time()
    aged(cache / "artifacts/needed/model.onnx", 90)
    aged(cache / "artifacts/unused/model.onnx", 90)
    aged(cache / "artifacts/fresh/model.onnx", 1)
    aged(cache / "artifacts/.part-1/model.onnx", 2)
    aged(cache / "artifacts/.part-2/model.onnx", 0)
    aged(cache / "failed/convert-1/log.txt", 2)
    aged(cache / "adb/adbkey", 90)
    aged(cache / "noise/local.json", 90)
    found = cached.old_entries(cache, now=now)
    assert [(e.path.name, e.why) for e in found] == [
        (".part-1", "unfinished"),
        ("convert-1", "failed step"),
    ]
    found = cached.old_entries(cache, now=now, older_than_s=30 * DAY_S, needed={"needed"})
    assert [(e.path.name, e.why, e.size_bytes) for e in found] == [
        (".part-1", "unfinished", 1000),
        ("unused", "unused for 90 days", 1000),
        ("convert-1", "failed step", 1000),
    ]


def test_converted_models_that_runs_refer_to_stay(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored("r1")
    used = aged(tmp_path / "cache/artifacts/k/model.onnx", 90)  # `k`: see records_for_tests
    other = aged(tmp_path / "cache/artifacts/other/model.onnx", 90)
    assert bench(capsys, "prune", "cache", "--older-than", "4w", "--yes")[0] == 0
    assert (used.exists(), other.exists()) == (True, False)


def test_images_of_older_files_are_pruned_one_by_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Built("onnx", "bench/onnx:old", 5 * 10**8)
    removed: list[object] = []
    monkeypatch.setattr(one_off, "old_images", lambda engine: [built])
    monkeypatch.setattr(one_off, "remove_image", lambda engine, image: removed.append(image))
    monkeypatch.setattr(one_off, "sweep", lambda engine: removed.append("sweep"))
    code, out, _ = bench(capsys, "images", "prune", "--dry-run")
    assert (code, removed) == (0, [])
    assert out.splitlines()[-1] == "would delete 2 items, at least 500 MB"
    code, out, _ = bench(capsys, "prune", "images", "--yes")
    assert (code, removed) == (0, [built, "sweep"])


def test_without_a_rule_prune_leaves_all_runs(capsys: pytest.CaptureFixture[str]) -> None:
    stored("old", days=400)
    assert bench(capsys, "prune", "--yes")[0] == 0
    assert names("runs") == ["old"]


# ---- bench du ----------------------------------------------------------------------------------


def test_du_says_what_each_kind_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = stored("r1")
    aged(tmp_path / "cache/packs/p/pixels.npy", 1)
    aged(tmp_path / "cache/venvs/onnx-1/big", 1)
    monkeypatch.setattr(
        one_off, "built_images", lambda engine: ("docker", [Built("onnx", "r", 2 * 10**9)])
    )
    code, out, _ = bench(capsys, "du", "--json")
    found = {row["what"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0
    assert {name: (row["count"], row["size_bytes"]) for name, row in found.items()} == {
        "runs": (1, disk.size_bytes(folder)),
        "reports": (0, 0),
        "images": (1, 2 * 10**9),
        "cache/packs": (1, 1000),
    }
    assert "decoded images" in bench(capsys, "du")[1]


def test_a_hard_link_counts_once(tmp_path: Path) -> None:
    path = aged(tmp_path / "folder" / "a", 0)
    (path.parent / "b").hardlink_to(path)
    assert disk.size_bytes(path.parent) == 1000


def test_stored_runs_are_none_where_no_folder_is(tmp_path: Path) -> None:
    assert stored_runs(tmp_path / "nowhere") == []


# ---- bench open --------------------------------------------------------------------------------


def test_the_report_is_written_where_it_is_missing_and_its_address_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored("r 1")
    code, out, _ = bench(capsys, "open", "--print")
    assert (code, out) == (0, f"file://{tmp_path}/reports/r%201/index.html\n")
    page = tmp_path / "reports" / "r 1" / "index.html"
    written = page.stat().st_mtime_ns
    bench(capsys, "open", "--print")
    assert page.stat().st_mtime_ns == written
    os.utime(tmp_path / "runs" / "r 1" / "results.jsonl", (time.time() + 5, time.time() + 5))
    bench(capsys, "open", "--print")
    assert page.stat().st_mtime_ns > written


@pytest.mark.parametrize(("display", "opened"), [("", 0), (":0", 1)])
def test_a_browser_is_opened_only_where_there_is_a_display(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    display: str,
    opened: int,
) -> None:
    stored("r1")
    addresses: list[str] = []
    monkeypatch.setattr(browser.sys, "platform", "linux")
    monkeypatch.setattr(
        browser.webbrowser, "open", lambda address: bool(addresses.append(address) or True)
    )
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    address = f"file://{tmp_path}/reports/r1/index.html"
    code, out, _ = bench(capsys, "open")
    assert (code, out, addresses) == (0, "" if opened else f"{address}\n", [address] * opened)


def test_a_run_that_a_process_writes_is_not_deleted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored("r1")
    with sole_writer(Path("runs/r1")):
        holder = writer(Path("runs/r1"))
        assert holder
        code, _, err = bench(capsys, "runs", "rm", "r1", "--yes")
    assert (code, err.splitlines()[1:]) == (
        1,
        [f"error: run r1 is in use by {holder.text}", "→ Wait until that process has ended."],
    )
    assert names("runs") == ["r1"]
