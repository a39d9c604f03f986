"""A run's folder: nothing that was written is lost, nothing damaged is taken for a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_for_tests import FAILED, OK, SKIPPED, failed_result, ok_result, trial, write_run

from harness.errors import BenchError, UsageError
from harness.locks import Locked
from harness.records import DeviceFacts, RunDevice
from harness.store import (
    RunFolder,
    find_run,
    read_devices,
    read_run,
    read_samples,
    sole_writer,
    writer,
)


def test_a_run_is_read_as_it_was_written_in_the_plan_s_order(tmp_path: Path) -> None:
    write_run(tmp_path / "r1")
    run = read_run(tmp_path / "r1")
    assert [r.cell for r in run.results] == [OK, FAILED, SKIPPED]
    assert run.results[0] == ok_result()


def test_the_line_that_a_kill_tore_is_not_a_result_and_stops_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r1").folder
    lines = folder / "results.jsonl"
    whole = lines.read_bytes()
    lines.write_bytes(whole[: -len(whole) // 5])
    assert [r.cell for r in read_run(folder).results] == [FAILED, SKIPPED]
    RunFolder(folder).add(ok_result())
    assert [r.cell for r in read_run(folder).results] == [OK, FAILED, SKIPPED]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r1").folder
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text(
        lines[0] + lines[1].replace('"failed"', '"broken"') + lines[2]
    )
    with pytest.raises(
        BenchError, match=r"results\.jsonl:2\.status: expected one of ok, failed, skipped"
    ):
        read_run(folder)


def test_a_later_line_of_a_cell_replaces_the_earlier(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r1")
    run.add(failed_result())
    assert len(read_run(run.folder).results) == 3


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run"):
        read_run(tmp_path)
    with pytest.raises(UsageError) as raised:
        find_run(tmp_path, "latest")
    assert raised.value.message == f"no run 'latest' in {tmp_path}"
    assert raised.value.hint == "Start a run with `bench run SCENARIO`."


def test_the_latest_run_is_the_last_by_name(tmp_path: Path) -> None:
    write_run(tmp_path / "20260101T000000-a")
    write_run(tmp_path / "20260102T000000-b")
    assert find_run(tmp_path, "latest").name == "20260102T000000-b"
    assert find_run(tmp_path, "20260101T000000-a").name == "20260101T000000-a"


def test_a_run_is_named_by_the_beginning_of_its_id_where_no_other_begins_so(tmp_path: Path) -> None:
    write_run(tmp_path / "20260101T000000-a")
    write_run(tmp_path / "20260102T000000-b")
    assert find_run(tmp_path, "20260101").name == "20260101T000000-a"
    with pytest.raises(UsageError) as raised:
        find_run(tmp_path, "2026")
    assert raised.value.message == f"no run '2026' in {tmp_path}"
    assert raised.value.hint == (
        "Name one of 20260101T000000-a, 20260102T000000-b, or another that `bench runs` lists."
    )


def test_a_run_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="Not a directory"):
        write_run(tmp_path / "file" / "r1")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(st.data())
def test_damaged_samples_are_refused_never_a_crash(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "r1"
    if not folder.exists():
        write_run(folder)
        (tmp_path / "good").write_bytes((folder / trial().folder / "samples.npz").read_bytes())
    good = bytearray((tmp_path / "good").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    (folder / trial().folder / "samples.npz").write_bytes(bytes(good[:cut]))
    try:
        assert "latency_ns" in read_samples(folder, trial())
    except BenchError as error:
        assert "samples.npz" in error.message


def test_a_plain_array_in_place_of_the_archive_is_damaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r1").folder
    with (folder / trial().folder / "samples.npz").open("wb") as file:
        np.save(file, np.arange(5))
    with pytest.raises(BenchError, match=r"samples\.npz: unreadable: not an archive"):
        read_samples(folder, trial())


def test_missing_samples_name_the_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r1").folder
    (folder / trial().folder / "samples.npz").unlink()
    with pytest.raises(BenchError, match=r"samples\.npz: No such file or directory"):
        read_samples(folder, trial())


def test_what_a_run_knows_of_a_device_is_read_back_and_replaced(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r1")
    assert read_devices(run.folder) == {}
    facts = DeviceFacts("android", "aarch64", "Android 14", model="Pixel 8")
    phone = RunDevice("phone", "android", "adb", ("arm64",), emulated=True, facts=facts)
    run.write_device(RunDevice("phone", "android", "adb"))
    run.write_device(phone)
    assert read_devices(run.folder) == {"phone": phone}
    (run.folder / "devices" / "phone.json").write_text('{"name": 7}')
    with pytest.raises(BenchError, match=r"devices/phone\.json"):
        read_devices(run.folder)


@pytest.mark.parametrize("length", [1, 100, 1 << 20, (1 << 20) + 1, 5 << 20])
@pytest.mark.parametrize("before", [0, 2])
def test_a_torn_line_of_any_length_is_cut_and_nothing_else(
    tmp_path: Path, length: int, before: int
) -> None:
    folder = write_run(tmp_path / "r1").folder
    path = folder / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)[:before]
    path.write_bytes(b"".join(lines) + b"\0" * length)
    assert len(read_run(folder).results) == before
    RunFolder(folder).add(ok_result())
    assert path.read_bytes().splitlines(keepends=True)[:-1] == lines
    assert read_run(folder).results[0] == ok_result()


def test_a_line_without_its_end_counts_neither_for_a_reader_nor_for_the_next_writer(
    tmp_path: Path,
) -> None:
    """Else a resumed run takes its cell for finished, and then cuts it."""
    folder = write_run(tmp_path / "r1").folder
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert len(read_run(folder).results) == 2


def test_a_run_has_one_writer_who_is_named(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "r1"):
        seen = writer(tmp_path / "r1")
        assert seen
        with pytest.raises(Locked) as raised, sole_writer(tmp_path / "r1"):
            pass
        assert raised.value.message == f"run r1 is in use by {seen.text}"
    assert writer(tmp_path / "r1") is None


def test_a_run_is_not_written_over_another_one(tmp_path: Path) -> None:
    write_run(tmp_path / "r1")
    with pytest.raises(BenchError, match="r1: contains a run"):
        write_run(tmp_path / "r1")


def test_what_is_replaced_or_begun_is_on_the_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("harness.store.sync_folder", synced.append)
    run = write_run(tmp_path / "r1")
    assert {tmp_path, tmp_path / "r1"} <= set(synced)
    synced.clear()
    run.add(ok_result())
    assert synced == []
    (tmp_path / "r1/results.jsonl").unlink()
    run.add(ok_result())
    assert synced == [tmp_path / "r1"]
