"""A run folder that somebody sent: its files lead elsewhere, or are not what they should be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_run.run import example

from harness.cli import stored_text
from harness.errors import BenchError
from harness.housekeeping import disk
from harness.housekeeping.runs import old_runs, stored_runs
from harness.preview.history import read_history
from harness.records import Artifact, Cell, ModelSpec, TensorSpec, Trial
from harness.report.build import build
from harness.report.pages.cell import _logs
from harness.report.pictures import CocoPictures, read_predictions
from harness.report.placement import layers
from harness.report.readings import read_states
from harness.run.replay import read_original
from harness.runner.job import PROFILES, VERSION, Job
from harness.serial import dumps
from harness.store import Run, RunFolder, read_run, read_samples

from .conftest import Host, one_line
from .test_model import npz

CELL = Cell("rio", "onnx", "fp32", "local")
SPEC = ModelSpec(
    "rio", "detection", "n.py", "b", "w.pt", "00", (TensorSpec("i", (1, 3, 8, 8)),), ("o",), ("c",)
)


@pytest.fixture
def sent(host: Host) -> Run:
    """A good run."""
    folder = host.run / "sent"
    made = example(folder, ("local",), ("onnx", "pytorch"), samples=70, trials=1, rich=False)
    store = RunFolder(folder)
    store.write_info(made.info)
    (folder / "plan.json").write_text(dumps(made.plan))
    for result in made.results:
        store.add(result)
    return read_run(folder)


def trial(run: Run, folder: str) -> Trial:
    return replace(run.results[0].trials[0], folder=folder)


@pytest.mark.parametrize(
    "folder",
    ["../../home/keys", "{home}/keys", "cells/../../../home/keys", "", "/", "a\0b", "\ud800"],
)
def test_a_trial_s_folder_does_not_lead_outside(host: Host, sent: Run, folder: str) -> None:
    (host.home / "keys" / "samples.npz").write_bytes(npz(latency_ns=np.arange(1, 5)))
    try:
        with pytest.raises(BenchError) as caught:
            read_samples(sent.folder, trial(sent, folder.format(home=host.home)))
        one_line(caught.value)
        states = read_states(sent.folder / folder.replace("\0", ""), run=sent.folder)
        assert states is None
    finally:
        (host.home / "keys" / "samples.npz").unlink()


def linked(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_no_file_of_a_run_is_a_link_to_somewhere_else(host: Host, sent: Run) -> None:
    cell = sent.folder / "cells" / CELL.id
    samples = host.run.parent / "samples.npz"
    samples.write_bytes(npz(latency_ns=np.arange(1, 5)))
    linked(cell / "trial-0" / "samples.npz", samples)
    with pytest.raises(BenchError, match=r"trial-0/samples\.npz: is a symbolic link; only regular"):
        read_samples(sent.folder, sent.results[0].trials[0])
    for name in ("log.txt", "convert.log", "layers.json", "predictions.npz", "trial-0/log.txt"):
        linked(cell / name, host.private)
    linked(cell / "trial-0" / "state.jsonl", host.private)
    assert list(_logs(sent.folder, CELL)) == []
    assert read_states(cell / "trial-0", run=sent.folder) is None
    shown = layers(sent.folder, CELL, True)
    assert shown is not None
    assert (shown.lines, shown.missing) == ((), "layers.json is unreadable: it is damaged")
    pictures = CocoPictures.of(host.run / "data", sent.folder)
    assert pictures.predictions(CELL) is None
    for path in sent.folder.rglob("*"):
        if path.is_symlink():
            path.unlink()
    samples.unlink()


def test_no_folder_of_a_run_is_a_link_to_somewhere_else(host: Host, sent: Run) -> None:
    cell = sent.folder / "cells" / CELL.id
    cell.rename(host.run.parent / "elsewhere")
    cell.symlink_to(host.run.parent / "elsewhere")
    (cell / "log.txt").write_text("a log")
    try:
        with pytest.raises(BenchError, match=r"samples\.npz: Not a directory$"):
            read_samples(sent.folder, sent.results[0].trials[0])
        assert list(_logs(sent.folder, CELL)) == []
    finally:
        cell.unlink()


@pytest.mark.parametrize("name", ["run.json", "plan.json", "results.jsonl"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda p: p.symlink_to("/dev/zero")])
def test_a_run_whose_files_are_none_is_no_run_and_nobody_waits_for_it(
    sent: Run, name: str, make: Callable[[Path], None]
) -> None:
    (sent.folder / name).unlink()
    make(sent.folder / name)
    with pytest.raises(BenchError, match=f"not a run: .*{name}: is a ") as caught:
        read_run(sent.folder)
    one_line(caught.value)
    if (sent.folder / name).is_dir():
        (sent.folder / name).rmdir()
    else:
        (sent.folder / name).unlink()


def test_a_run_of_numbers_without_end_is_one_line(sent: Run) -> None:
    for said in ("1" * 400, "1e999", "NaN", "[" * 5000, '"\\ud800"'):
        info = json.loads((sent.folder / "run.json").read_text())
        text = json.dumps({**info, "wall_s": {"images": 0}})
        text = text.replace('"images": 0', f'"images": {said}')
        (sent.folder / "run.json").write_text(text)
        with pytest.raises(BenchError) as caught:
            read_run(sent.folder)
        one_line(caught.value)
        (sent.folder / "run.json").write_text(json.dumps(info))


def test_what_earlier_runs_say_of_time_is_passed_over_where_it_is_none(
    host: Host, sent: Run
) -> None:
    deep = "[" * 100_000
    (sent.folder / "events.jsonl").write_text(f'{deep}\n{{"event": {"1" * 5000}}}\n')
    linked(sent.folder / "results.jsonl", host.private)
    assert read_history(host.run).tasks == {}
    (sent.folder / "results.jsonl").unlink()


@pytest.mark.parametrize("seconds", ["1e308", "-1e308", "-5", "1e9", "1" + "0" * 30])
def test_what_earlier_runs_say_of_time_takes_no_year(host: Host, sent: Run, seconds: str) -> None:
    """Sums of such numbers are none that anybody can write."""
    event = f'{{"event": "task_end", "task": "x", "outcome": "ok", "seconds": {seconds}}}\n'
    (sent.folder / "events.jsonl").write_text(event)
    path = sent.folder / "results.jsonl"
    result = json.loads(path.read_text().splitlines()[0])
    text = json.dumps({**result, "wall_s": {"measure": 0.25, "parity": 0.25}})
    path.write_text(text.replace("0.25", seconds) + "\n")
    history = read_history(host.run)
    assert {*history.tasks.values(), *history.checks.values()} <= {0.0}
    assert history.trials == {}


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "x"])
def test_a_run_of_no_time_that_there_is_is_listed(host: Host, sent: Run, at: str) -> None:
    run = RunFolder(sent.folder)
    run.write_info(replace(sent.info, started_at=at, finished_at=at))
    (stored,) = stored_runs(host.run)
    _, ((_, _, started, *_),) = stored_text.run_table([stored], time.time(), 200)
    assert started in (at, "0001-01-01 00:00")
    stored_text.run_record(stored)


def test_readings_with_numbers_without_end_are_left_out(host: Host, sent: Run) -> None:
    path = sent.folder / "cells" / CELL.id / "trial-0" / "state.jsonl"
    lines = [f'{{"at_s": 1{"0" * 400}}}', '{"at_s": 2, "power_w": {"a": 3}}', "[" * 5000, "\ud7ff"]
    path.write_text("\n".join(lines))
    states = read_states(path.parent, run=sent.folder)
    assert states is not None
    assert states.at_s.tolist() == [2.0]


def test_predictions_that_contradict_themselves_are_not_drawn(host: Host, sent: Run) -> None:
    path = sent.folder / "cells" / CELL.id / "predictions.npz"
    arrays = {
        "image_id": np.array([5, 1]), "box": np.ones((2, 4)), "score": np.ones(2),
        "label": np.zeros(2, int), "image_size": np.array([(1, 1 << 40, 8), (5, 8, 8)]),
    }  # fmt: skip
    path.write_bytes(npz(**arrays))
    assert read_predictions(path) == {}


def test_an_artifact_s_key_does_not_lead_out_of_the_cache(host: Host, sent: Run) -> None:
    from harness.run.replay import Original, find_artifact
    from harness.runner.job import PROFILES

    (host.cache / "artifacts").mkdir()
    for key in ("../../home/keys", str(host.home / "keys"), "..", ".", "", "x" * 5000, "a\0"):
        known = Artifact("x/id_rsa", "ab", 1, key, 1.0, False, "")
        original = Original(sent, sent.results[0], known, PROFILES["quick"], 1)
        with pytest.raises(BenchError, match="artifact no longer in the cache$"):
            find_artifact(original, host.cache)


def test_a_run_that_is_written_to_does_not_write_through_links(host: Host, sent: Run) -> None:
    run = RunFolder(sent.folder)
    linked(sent.folder / "run.json.part", host.startup)
    with pytest.raises(BenchError, match=r"run\.json\.part: is a symbolic link, which"):
        run.write_info(sent.info)
    linked(sent.folder / "results.jsonl", host.startup)
    with pytest.raises(BenchError, match=r"results\.jsonl: is a symbolic link, which"):
        run.add(sent.results[0])
    for name in ("run.json.part", "results.jsonl"):
        (sent.folder / name).unlink()


def test_a_log_of_a_terabyte_is_read_at_its_end(sent: Run) -> None:
    path = sent.folder / "cells" / CELL.id / "log.txt"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\x1b]0;title\x07the end")
    (log,) = _logs(sent.folder, CELL)
    assert (log.text, log.cut) == ("the end", True)
    path.unlink()


def deep(path: Path, folders: int = 1500) -> None:
    """As deep as a path may be, and deeper than any stack."""
    here = Path.cwd()
    path.mkdir(parents=True)
    os.chdir(path)
    for _ in range(folders):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(here)


def test_a_run_deeper_than_any_stack_is_listed_and_removed(host: Host, sent: Run) -> None:
    deep(sent.folder / "cells" / "deep", 1500)
    (run,) = stored_runs(host.run)
    assert run.size_bytes > 0
    assert old_runs([run], now=time.time() + 10**9, older_than_s=1) == [run]
    disk.remove(run.folder, host.run)
    assert not run.folder.exists()


def test_a_run_whose_folders_nobody_may_open_is_removed(host: Host, sent: Run) -> None:
    (sent.folder / "cells" / "a" / "b").mkdir(parents=True)
    (sent.folder / "cells" / "a" / "b").chmod(0)
    (sent.folder / "cells" / "a").chmod(0)
    (sent.folder / "home").symlink_to(host.home)
    disk.remove(sent.folder, host.run)
    assert not sent.folder.exists()


LINKED = ["index.html", "bugs.txt", "static/report.css", "static", "cells", ".index.html.part"]


@pytest.mark.parametrize("name", LINKED)
def test_pages_are_not_written_through_links_of_an_older_report(
    host: Host, sent: Run, name: str
) -> None:
    """A report comes with a project as its runs do."""
    out = host.run / "report"
    (out / name).parent.mkdir(parents=True)
    is_folder = name in ("static", "cells")
    (out / name).symlink_to(host.home if is_folder else host.startup)
    if is_folder:
        with pytest.raises(BenchError, match=f"cannot write the report: .*{name}") as caught:
            build(sent, out)
        one_line(caught.value)
        (out / name).unlink()
    else:
        build(sent, out)
        assert not any(path.is_symlink() for path in out.rglob("*"))


def test_a_scenario_of_a_run_that_is_none_is_not_waited_for(host: Host, sent: Run) -> None:
    cell = next(result for result in sent.results if result.trials)
    job = Job(
        VERSION, "trial", "onnx", "fp32", 1, SPEC, "/s", "/a", measure=PROFILES["quick"]
    )  # fmt: skip
    path = sent.folder / cell.trials[0].folder / "job.json"
    path.write_text(dumps(job))
    sent.folder.joinpath("scenario.yaml").unlink(missing_ok=True)
    for make in (os.mkfifo, lambda path: path.symlink_to(host.private)):
        make(sent.folder / "scenario.yaml")
        with pytest.raises(BenchError, match=r"scenario\.yaml: is a ") as caught:
            read_original(sent.folder / "cells" / cell.cell.id)
        one_line(caught.value)
        (sent.folder / "scenario.yaml").unlink()
