"""A/A runs: what they say of a device, and what is done about it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records_for_tests import OK
from test_compare import OTHER, measured, write

from harness.analysis import host_noise, noise_floor
from harness.analysis.compare_runs import compare_runs
from harness.analysis.host_noise import CpuTime, Machine
from harness.cli import comparison_text
from harness.errors import BenchError
from harness.records import Interval, Plan, RunInfo
from harness.store import Run, RunFolder, read_run

CALM = Machine("performance", False, False, False)


def aa_run(folder: Path, profile: str = "quick") -> Run:
    result = measured(folder.with_name("made"), OK, 10.0, trials=10)
    info = RunInfo(folder.name, "noise", profile, "s", "0.1.0", "00", "abc", "docker", "pp", "c")
    RunFolder.create(folder, info, Plan((OK,), ()), "name: noise\n").add(result)
    (folder.with_name("made") / "cells").rename(folder / "cells")
    return read_run(folder)


def test_a_quiet_device_shows_small_changes(tmp_path: Path) -> None:
    found = noise_floor.analyse(aa_run(tmp_path / "r"), CALM, 0.0)
    assert found.sides.outcome == "same"
    assert found.between_percent == pytest.approx(0.3, abs=0.2)
    assert found.detectable_percent["full"] < found.detectable_percent["quick"] < 6
    assert (found.trials, found.quick_ratio) == (5, None)


def test_full_says_whether_quick_agrees(tmp_path: Path) -> None:
    found = noise_floor.analyse(aa_run(tmp_path / "r", "full"), CALM, None)
    assert found.quick_agrees
    assert found.quick_ratio == pytest.approx(1.0, abs=0.02)
    assert any(
        line.startswith("quick agrees with full") for line in comparison_text.noise_lines(found)
    )


def test_wide_intervals_that_meet_are_no_agreement(tmp_path: Path) -> None:
    found = noise_floor.analyse(aa_run(tmp_path / "r", "full"), CALM, None)
    said = {
        agrees: "\n".join(comparison_text.noise_lines(replace(found, quick_agrees=agrees)))
        for agrees in (True, False, None)
    }
    assert "quick agrees with full: " in said[True]
    assert "quick disagrees with full: " in said[False]
    assert "inconclusive: quick and full differ" in said[None]
    near, wide, far = Interval(10.1, 9, 11), Interval(11, 9, 13), Interval(13, 12, 14)
    whole = Interval(10.0, 9.5, 10.5)
    assert [noise_floor.agrees(i, whole) for i in (near, wide, far)] == [True, None, False]


def test_an_invalid_cell_has_no_noise(tmp_path: Path) -> None:
    run = aa_run(tmp_path / "r")
    void = replace(run.results[0], verdict="invalid", reasons=("trial 0: throttled",))
    with pytest.raises(BenchError, match=r"invalid: trial 0: throttled") as raised:
        noise_floor.analyse(replace(run, results=(void,)), CALM, 0.0)
    assert str(tmp_path / "r") in raised.value.hint


def test_quick_s_floor_is_of_trials_of_quick_s_length() -> None:
    """Medians of 64 samples vary where those of 662 do not."""
    rng = np.random.default_rng(5)
    whole = [(1e7 * np.exp(0.02 * rng.standard_normal(5000))).astype(np.int64) for _ in range(10)]
    short = noise_floor._cut(whole)
    assert {len(s) for s in short} <= set(range(95, 106))  # a second of 10 ms
    assert float(np.std([np.median(s) for s in short])) > 4 * float(
        np.std([np.median(s) for s in whole])
    )


def test_another_host_s_noise_is_not_this_one_s(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0})
    new = write(tmp_path / "new", {OK: 10.3}, seed=9)
    compared = compare_runs(old, new)
    found = replace(
        noise_floor.analyse(aa_run(tmp_path / "r"), CALM, 0.0), quick_between_percent=4.0
    )
    noise_floor.save(tmp_path, replace(found, host="another"))
    assert noise_floor.with_notes(compared, tmp_path) == compared
    noise_floor.save(tmp_path, replace(found, host=""))
    assert noise_floor.with_notes(compared, tmp_path).pairs[0].notes


def test_it_is_kept_and_read_again_and_another_version_s_is_not(tmp_path: Path) -> None:
    found = noise_floor.analyse(aa_run(tmp_path / "r"), CALM, 0.0)
    path = noise_floor.save(tmp_path, found)
    assert path == tmp_path / "noise/local.json"
    assert noise_floor.load(tmp_path, "local") == found
    path.write_text("{}")
    assert noise_floor.load(tmp_path, "local") is None


def test_a_phone_is_not_given_this_machine_s_settings(tmp_path: Path) -> None:
    found = noise_floor.analyse(aa_run(tmp_path / "r"), None, None)
    assert found.machine == Machine(None, None, None, False, 2)
    assert found.advice == (
        "fewer than 4 CPUs: bench and the system compete with the measured process",
    )


def test_the_noise_floor_is_wider_than_the_noise_it_was_learned_from() -> None:
    assert noise_floor.floor_percent(0.01, 9, 5, 5) == pytest.approx(1.44, abs=0.01)
    assert noise_floor.floor_percent(0.01, 9, 3, 3) > noise_floor.floor_percent(0.01, 9, 5, 5)
    assert noise_floor.floor_percent(0.01, 2, 5, 5) > noise_floor.floor_percent(0.01, 9, 5, 5)


def test_a_difference_under_the_noise_floor_is_noted(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0, OTHER: 5.0})
    new = write(tmp_path / "new", {OK: 10.3, OTHER: 10.0}, seed=9)
    compared = compare_runs(old, new)
    assert compared.pairs[0].comparison
    assert compared.pairs[0].comparison.outcome == "slower"
    assert noise_floor.with_notes(compared, tmp_path) == compared
    restless = replace(
        noise_floor.analyse(aa_run(tmp_path / "r"), CALM, 0.0), quick_between_percent=4.0
    )
    noise_floor.save(tmp_path, restless)
    first, second = noise_floor.with_notes(compared, tmp_path).pairs
    assert second.notes == ()
    assert len(first.notes) == 1
    assert re.fullmatch(
        r"[23]\.\d % is below the noise floor of local, 5\.9 % with 5\+5 trials "
        rf"\(check-noise of f, {OK.id}\)",
        first.notes[0],
    )
    assert f"{OK.id}: {first.notes[0]}" in comparison_text.comparison_notes(
        noise_floor.with_notes(compared, tmp_path)
    )


def test_an_a_a_run_with_damaged_samples_names_the_file(tmp_path: Path) -> None:
    run = aa_run(tmp_path / "r")
    path = run.folder / run.results[0].trials[3].folder / "samples.npz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BenchError, match="trial-3/samples.npz: unreadable: "):
        noise_floor.analyse(run, CALM, None)


def test_a_run_without_a_number_has_no_noise(tmp_path: Path) -> None:
    run = aa_run(tmp_path / "r")
    failed = replace(run.results[0], summary=None, reasons=("no image",))
    with pytest.raises(BenchError, match="no image"):
        noise_floor.analyse(replace(run, results=(failed,)), CALM, 0.0)


def test_every_trial_is_on_one_side_and_neighbours_are_apart() -> None:
    trials = [np.array([i]) for i in range(10)]
    first, second = noise_floor.split(trials, seed=3)
    assert sorted(int(t[0]) for t in first + second) == list(range(10))
    assert all(int(a[0]) // 2 == int(b[0]) // 2 for a, b in zip(first, second, strict=True))
    assert {int(t[0]) % 2 for t in first} == {0, 1}


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_machine_s_settings_are_read(tmp_path: Path) -> None:
    cpu = "sys__devices__system__cpu__"
    tree(
        tmp_path,
        **{f"{cpu}cpu0__cpufreq__scaling_governor": "powersave\n"},
        **{f"{cpu}intel_pstate__no_turbo": "0\n", f"{cpu}smt__active": "1\n"},
        proc__cpuinfo="flags : fpu hypervisor\n",
    )
    assert host_noise.read_machine(tmp_path) == Machine(
        "powersave", True, True, True, os.cpu_count()
    )
    assert host_noise.read_machine(tmp_path / "empty") == Machine(
        None, None, None, False, os.cpu_count()
    )


@pytest.mark.parametrize("text", ["", "cpu 1 2", "cpu a b c d e f g h", "intr 5"])
def test_a_strange_proc_stat_is_unknown(tmp_path: Path, text: str) -> None:
    assert host_noise.read_cpu_time(tree(tmp_path, proc__stat=text)) is None


def test_stolen_time_is_a_share_of_all_time(tmp_path: Path) -> None:
    seen = host_noise.read_cpu_time(
        tree(tmp_path, proc__stat="cpu  10 0 10 70 0 0 0 10 5 0\ncpu0 1")
    )
    assert seen == CpuTime(10, 100)
    assert host_noise.steal_percent(seen, CpuTime(20, 200)) == 10.0
    assert host_noise.steal_percent(seen, seen) is None
    assert host_noise.steal_percent(None, seen) is None


def test_each_disturbance_has_advice() -> None:
    lines = host_noise.advice(Machine("powersave", True, True, True), 5.0, 40.0)
    begins = ("background load", "the hypervisor took 5.0 %", "governor powersave", "turbo", "SMT")
    assert [any(line.startswith(b) for line in lines) for b in begins] == [True] * 5
