"""Two runs side by side: what is compared, what is left out and why, what else differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records_for_tests import OK, failed_result, ok_result, skipped_result, trial

from harness import cli
from harness.analysis import summary as stats
from harness.analysis.compare_runs import compare_named, compare_runs
from harness.analysis.differences import Difference
from harness.cli import comparison_text
from harness.errors import BenchError, UsageError
from harness.records import Arrivals, Cell, CellResult, Plan, RunInfo
from harness.store import Run, RunFolder, read_run

OTHER = replace(OK, precision="fp16")


def measured(folder: Path, cell: Cell, ms: float, seed: int = 0, trials: int = 5) -> CellResult:
    """A valid result with its samples on the disk."""
    rng = np.random.default_rng(seed)
    made = [replace(trial(i), folder=f"cells/{cell.id}/trial-{i}") for i in range(trials)]
    for one in made:
        (folder / one.folder).mkdir(parents=True, exist_ok=True)
        factor = np.exp(0.003 * rng.standard_normal() + 0.01 * rng.standard_normal(200))
        np.savez(
            folder / one.folder / "samples.npz", latency_ns=(ms * 1e6 * factor).astype(np.int64)
        )
    samples = [dict(np.load(folder / one.folder / "samples.npz")) for one in made]
    summary = stats.summarise(made, samples)
    return replace(ok_result(), cell=cell, trials=tuple(made), summary=summary)


def write(
    folder: Path, cells: dict[Cell, float], extra: Sequence[CellResult] = (), seed: int = 0
) -> Run:
    info = RunInfo(folder.name, "rio", "quick", "s", "0.1.0", "00", "abc", "docker", "pp", "c")
    run = RunFolder.create(folder, info, Plan(tuple(cells), ()), "name: rio\n")
    for i, (cell, ms) in enumerate(cells.items()):
        run.add(measured(folder, cell, ms, seed + i))
    for result in extra:
        run.add(result)
    return read_run(folder)


def test_a_cell_that_got_slower_is_called_slower(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0, OTHER: 5.0})
    new = write(tmp_path / "new", {OK: 10.6, OTHER: 5.0}, seed=9)
    compared = compare_runs(old, new)
    assert [p.comparison and p.comparison.outcome for p in compared.pairs] == ["slower", "same"]
    assert compared.slower
    ratio = compared.pairs[0].comparison
    assert ratio
    assert ratio.ratio.low < 1.06 < ratio.ratio.high


def test_what_has_no_usable_number_is_left_out_with_its_reason(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0, OTHER: 5.0})
    broken = replace(failed_result(), cell=OTHER)
    new = write(tmp_path / "new", {OK: 10.0}, [broken])
    pair = compare_runs(old, new).pairs[1]
    assert pair.comparison is None
    assert pair.left_out == "failed in new: boxes <differ> | much"


def test_an_invalid_number_is_not_compared_and_not_shown(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0})
    bad = replace(measured(tmp_path / "new", OK, 10.0), verdict="invalid", reasons=("2 CPUs",))
    (tmp_path / "new").rename(tmp_path / "kept")
    new = write(tmp_path / "new", {}, [bad])
    pair = compare_runs(old, new).pairs[0]
    assert (pair.left_out, pair.new and pair.new.p50) == ("invalid in new: 2 CPUs", None)


def test_a_cell_of_one_run_only_is_left_out(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", {OK: 10.0}), write(tmp_path / "new", {OTHER: 10.0})
    assert [p.left_out for p in compare_runs(old, new).pairs] == ["not in old", "not in new"]


def test_a_cell_that_never_ran_is_no_cell_to_compare(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0}, [skipped_result()])
    new = write(tmp_path / "new", {OK: 10.0}, [skipped_result()])
    assert [p.new and p.new.cell_id for p in compare_runs(old, new).pairs] == [OK.id]


def test_truncated_samples_leave_their_cell_out(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", {OK: 10.0}), write(tmp_path / "new", {OK: 10.0})
    path = tmp_path / "new" / new.results[0].trials[2].folder / "samples.npz"
    path.write_bytes(path.read_bytes()[:100])
    left_out = compare_runs(old, new).pairs[0].left_out
    assert left_out.startswith(f"{path}: unreadable: ")


def test_samples_of_a_clock_that_went_backwards_are_not_compared(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", {OK: 10.0}), write(tmp_path / "new", {OK: 10.0})
    path = tmp_path / "new" / new.results[0].trials[0].folder / "samples.npz"
    np.savez(path, latency_ns=np.array([10, -10, 10]))
    assert (
        compare_runs(old, new)
        .pairs[0]
        .left_out.startswith("1 of 1803 samples are zero or negative")
    )


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"latency_ns": np.array([], np.int64)}, "no samples"),
        ({}, "unreadable: missing arrays: latency_ns"),
        ({"latency_ns": np.array([[1, 2]])}, "unreadable: latency_ns has shape (1, 2)"),
    ],
)
def test_a_file_without_samples_leaves_its_cell_out(
    tmp_path: Path, arrays: dict[str, np.ndarray], why: str
) -> None:
    old, new = write(tmp_path / "old", {OK: 10.0}), write(tmp_path / "new", {OK: 10.0})
    path = tmp_path / "new" / new.results[0].trials[1].folder / "samples.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    assert compare_runs(old, new).pairs[0].left_out == f"{path}: {why}"


def few(result: CellResult) -> CellResult:
    """As if each trial had taken one sample."""
    assert result.summary
    return replace(result, summary=replace(result.summary, n=len(result.trials)))


def test_trials_of_one_sample_are_compared_by_it(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", {OK: 10.0}), write(tmp_path / "new", {OK: 20.0}, seed=3)
    for run in (old, new):
        for one in run.results[0].trials:
            path = run.folder / one.folder / "samples.npz"
            np.savez(path, latency_ns=np.load(path)["latency_ns"][:1])
    old, new = (replace(r, results=(few(r.results[0]),)) for r in (old, new))
    found = compare_runs(old, new).pairs[0].comparison
    assert found
    assert found.outcome == "slower"
    assert found.ratio.low < 2 < found.ratio.high


def test_a_run_that_is_cut_off_in_its_first_file_is_named(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0})
    path = old.folder / "run.json"
    path.write_text(path.read_text()[:60])
    with pytest.raises(BenchError, match=r"run\.json") as caught:
        read_run(old.folder)
    assert caught.value.hint == "Restore the file, or use the version of bench that wrote it."


def test_two_cells_of_one_run_by_part_of_their_names(tmp_path: Path) -> None:
    run = write(tmp_path / "r", {OK: 10.0, OTHER: 5.0})
    pair = compare_named(run, run, ("fp32", "fp16")).pairs[0]
    assert pair.comparison
    assert pair.comparison.outcome == "faster"
    assert pair.differences == (Difference("precision", "fp32", "fp16"),)


def test_a_name_that_fits_no_cell_or_several_names_them(tmp_path: Path) -> None:
    run = write(tmp_path / "r", {OK: 10.0, OTHER: 5.0})
    with pytest.raises(UsageError, match="r: 2 cells match 'rio'"):
        compare_named(run, run, ("rio", "fp16"))
    with pytest.raises(UsageError, match="r: no cell matches 'int4'") as caught:
        compare_named(run, run, ("int4", "fp16"))
    assert caught.value.hint == f"Name one of {OK.id}, {OTHER.id}."


def test_differences_of_provenance_are_said_once(tmp_path: Path) -> None:
    old = write(tmp_path / "old", {OK: 10.0, OTHER: 5.0})
    new = write(tmp_path / "new", {OK: 10.0, OTHER: 5.0})
    changed = [
        replace(r, image=replace(r.image, digest="sha256:" + "b" * 64))  # type: ignore[type-var]
        for r in new.results
    ]
    info = replace(new.info, git="def")
    compared = compare_runs(old, replace(new, info=info, results=tuple(changed)))
    assert comparison_text.comparison_notes(compared) == [
        "differs: git: abc → def",
        "differs: image digest: sha256:aa → sha256:bbbbbbbbbbbb…",
    ]


def test_one_trial_each_cannot_tell(tmp_path: Path) -> None:
    runs = []
    for name, ms in (("old", 10.0), ("new", 20.0)):
        result = measured(tmp_path / name, OK, ms, trials=1)
        (tmp_path / name).rename(tmp_path / f"kept-{name}")
        write(tmp_path / name, {}, [result])
        (tmp_path / f"kept-{name}" / "cells").rename(tmp_path / name / "cells")
        runs.append(read_run(tmp_path / name))
    comparison = compare_runs(*runs).pairs[0].comparison
    assert comparison
    assert comparison.outcome == "inconclusive"
    assert comparison.reason.startswith("a single trial does not show")


def test_the_command_fails_on_request_when_something_is_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/a", {OK: 10.0})
    write(tmp_path / "runs/b", {OK: 12.0}, seed=5)
    assert run(["compare", "a", "b"]) == 0
    assert run(["compare", "a", "b", "--fail-if-slower"]) == 1
    assert run(["compare", "b", "a", "--fail-if-slower", "--json"]) == 0
    assert '"outcome": "faster"' in capsys.readouterr().out
    assert run(["compare", "a"]) == 2


def test_a_ratio_that_is_not_that_of_the_numbers_beside_it_says_why(tmp_path: Path) -> None:
    """The median of all samples sits in the middle trials; the trials' mean does not."""
    old = write(tmp_path / "old", {OK: 10.0})
    new = write(tmp_path / "new", {OK: 10.0})
    assert not any(
        "trials disagree" in line
        for line in comparison_text.comparison_notes(compare_runs(old, new))
    )
    for one in new.results[0].trials[:2]:
        path = new.folder / one.folder / "samples.npz"
        np.savez(path, latency_ns=3 * np.load(path)["latency_ns"])
    notes = comparison_text.comparison_notes(compare_runs(old, new))
    assert notes[0].startswith(f"{OK.id}: trials disagree: the ratio is of trial medians; ")


def test_notes_of_many_pairs_are_counted_not_repeated(tmp_path: Path) -> None:
    cells = {replace(OK, threads=n): 10.0 for n in range(1, 6)}
    old, new = write(tmp_path / "old", cells), write(tmp_path / "new", cells)
    doubted = tuple(replace(r, verdict="suspect", reasons=("noisy",)) for r in new.results[:4])
    compared = compare_runs(old, replace(new, results=(*doubted, new.results[4])))
    assert comparison_text.comparison_notes(compared)[0] == (
        "4 of 5 cells: suspect in one or both runs; use `--cells A B` for the reasons"
    )
    few = replace(compared, pairs=compared.pairs[:3])
    assert comparison_text.comparison_notes(few)[0] == (
        f"{compared.pairs[0].new.cell_id}: suspect in new: noisy"  # type: ignore[union-attr]
    )


def test_a_number_that_is_gone_is_no_pass_where_slower_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    gate = ["compare", "a", "b", "--fail-if-slower"]
    write(tmp_path / "runs/a", {OK: 10.0, OTHER: 5.0})
    new = write(tmp_path / "runs/b", {OK: 10.0, OTHER: 5.0})
    assert run(gate) == 0
    store = RunFolder(new.folder)
    store.add(replace(new.results[1], verdict="invalid", reasons=("throttled",)))
    assert run(gate) == 1
    assert "invalid in b: throttled" in capsys.readouterr().out
    store.add(replace(failed_result(), cell=OTHER))
    assert run(gate) == 1
    assert run(["compare", "a", "b"]) == 0
    store.add(replace(skipped_result(), cell=OTHER))  # planned, and then its device could not
    assert run(gate) == 1
    write(tmp_path / "runs/c", {OK: 10.0}, [replace(skipped_result(), cell=OTHER)])
    assert run(["compare", "a", "c", "--fail-if-slower"]) == 0  # nobody asked for it any more


def test_a_run_that_ended_early_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/a", {OK: 10.0, OTHER: 5.0})
    new = write(tmp_path / "runs/b", {OK: 10.0, OTHER: 5.0})
    lines = (new.folder / "results.jsonl").read_text().splitlines(keepends=True)
    (new.folder / "results.jsonl").write_text(lines[0])
    assert run(["compare", "a", "b", "--fail-if-slower"]) == 1


def test_a_comparison_that_can_never_say_slower_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/a", {OK: 10.0})
    made = write(tmp_path / "runs/b", {OK: 30.0}).results[0]
    one = replace(made, trials=made.trials[:1], summary=replace(made.summary, n=200))  # type: ignore[type-var]
    RunFolder(tmp_path / "runs/b").add(one)
    assert run(["compare", "a", "b", "--fail-if-slower"]) == 1


def test_samples_that_are_not_those_of_the_result_leave_the_cell_out(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", {OK: 10.0}), write(tmp_path / "new", {OK: 10.0})
    path = tmp_path / "new" / new.results[0].trials[0].folder / "samples.npz"
    np.savez(path, latency_ns=np.load(path)["latency_ns"][:2])
    assert compare_runs(old, new).pairs[0].left_out == (
        f"{OK.id}: 802 samples on disk, but the result has 1000"
    )


def test_runs_without_a_cell_in_common_pass_no_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/a", {OK: 10.0})
    write(tmp_path / "runs/b", {OTHER: 10.0})
    assert run(["compare", "a", "b", "--fail-if-slower"]) == 1


def arriving(made: Run, **options: Any) -> Run:
    """The same run, as if its samples had arrived so."""
    arrived = Arrivals(n=200, seconds=2.0, samples_per_s=100.0, **options)
    results = tuple(
        replace(r, trials=tuple(replace(t, arrivals=arrived) for t in r.trials))
        for r in made.results
    )
    return replace(made, results=results)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"pattern": "camera", "rate_hz": 30.0}, "camera, 30/s"),
        ({"pattern": "server", "bound_ms": 50.0}, "server, p99 below 50 ms"),
        ({"pattern": "offline"}, "offline"),
    ],
)
def test_samples_that_arrived_another_way_are_no_regression(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    old = arriving(write(tmp_path / "old", {OK: 10.0}), pattern="single")
    new = arriving(write(tmp_path / "new", {OK: 14.0}), **other)
    pair = compare_runs(old, new).pairs[0]
    assert pair.comparison is None
    assert pair.left_out.startswith(f"different arrival patterns: single → {said}; ")
    asked = compare_named(old, new, (OK.id, OK.id)).pairs[0]
    assert asked.comparison
    assert asked.differences == (Difference("arrivals", "single", said),)


def test_another_rate_of_the_camera_is_another_way_and_another_result_of_the_search_is_not(
    tmp_path: Path,
) -> None:
    made = write(tmp_path / "r", {OK: 10.0})
    slow, fast = (arriving(made, pattern="camera", rate_hz=hz) for hz in (5.0, 30.0))
    assert compare_runs(slow, fast).pairs[0].comparison is None
    found = [
        arriving(made, pattern="server", bound_ms=50.0, rate_hz=hz, best_rate_hz=hz)
        for hz in (40.0, 46.0)
    ]
    pair = compare_runs(found[0], found[1]).pairs[0]
    assert pair.comparison
    assert pair.differences == ()


def test_another_power_mode_is_named(tmp_path: Path) -> None:
    made = write(tmp_path / "r", {OK: 10.0})
    old, new = (
        replace(
            made,
            results=tuple(
                replace(
                    r,
                    trials=tuple(
                        replace(t, before=replace(t.before, power_mode=mode)) for t in r.trials
                    ),
                )
                for r in made.results
            ),
        )
        for mode in ("MAXN", "15W")
    )
    assert compare_runs(old, new).pairs[0].differences == (Difference("power mode", "MAXN", "15W"),)


def test_a_run_of_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/a", {OK: 10.0})
    write(tmp_path / "runs/b", {OK: 10.0})
    results = tmp_path / "runs/b/results.jsonl"
    results.write_text(results.read_text().replace('"summary": {"n"', '"summary": {"count"'))
    assert run(["compare", "a", "b"]) == 1
    assert "use the version of bench that wrote it" in capsys.readouterr().err


def run(arguments: list[str]) -> int:
    """The exit code of the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0)
