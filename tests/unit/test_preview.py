"""What a plan says of a run before it goes on: what is cached, what moves, how long it takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from records_for_tests import OK, write_run
from run_events import CELLS, DEVICES, MODELS, ONNX, PHONE, TFLITE

from harness.cache import tree_bytes
from harness.cli import plan_text
from harness.containers import Built, CompletedJob, JobSpec, Mount, OnLine
from harness.errors import StepFailed
from harness.formats import REGISTRY
from harness.preview.cached import Cached, CachedParts
from harness.preview.estimate import Expected, expect, rule_trial_s, side_by_side
from harness.preview.history import History, read_history
from harness.preview.summary import Move, Preview, move, routes_of
from harness.preview.tasks import tasks_of
from harness.records import Cell, Image, Plan, Skipped
from harness.run import prepare
from harness.run.job import RunRules
from harness.run.prepare import image_names
from harness.run.recorder import Recorder
from harness.runner.job import PROFILES
from harness.scenario.model import Model
from harness.scenario.plan import read_inventory
from harness.scenario.scenario import ScoredOn
from harness.steps import datasets
from harness.steps.convert import artifact_key
from harness.steps.infer import LoadedArtifact, pass_key
from harness.steps.jobs import Place
from harness.store import RunFolder
from harness.workspace import builtin

QUICK = PROFILES["quick"]


class Engine:
    """Has the images that it is given; building any other is a mistake of the test."""

    name: Literal["docker"] = "docker"

    def __init__(self, *names: str) -> None:
        self.there = names

    def reference(self, name: str) -> str:
        return f"bench/{name}:1"

    def built(self) -> tuple[Built, ...]:
        return tuple(Built(name, self.reference(name), 1) for name in self.there)

    def build(self, name: str, log: Path, on_line: OnLine | None = None) -> Image:
        assert name in self.there, f"{name} is built"
        return Image(name, self.name, self.reference(name), f"sha256:{name}", True, 0.0)

    def make_base(self, log: Path, on_line: OnLine | None = None) -> str:
        raise AssertionError

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        raise AssertionError

    def locate(self, mount: Mount) -> str:
        raise AssertionError

    def remove(self, built: Built) -> None:
        raise AssertionError

    def sweep(self) -> int:
        raise AssertionError

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def rio() -> Model:
    return read_inventory({"rio": builtin() / "models" / "rio"}, {}).models["rio"]


# ---- earlier runs ------------------------------------------------------------------------------


def run_with_times(folder: Path, image_s: float, measure_s: float) -> None:
    run = write_run(folder)
    end = {"event": "task_end", "task": "image onnx", "outcome": "ok", "seconds": image_s}
    (folder / "events.jsonl").write_text(json.dumps(end) + "\n")
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for line in lines:
        line["wall_s"] = {"deploy": 1, "parity": 2.0, "measure": measure_s}
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run.folder == folder


def test_a_task_takes_its_longest_time_and_a_trial_that_of_the_newest_run(tmp_path: Path) -> None:
    run_with_times(tmp_path / "1", image_s=120.0, measure_s=9.0)
    run_with_times(tmp_path / "2", image_s=0.01, measure_s=7.0)
    found = read_history(tmp_path)
    assert found.tasks == {"image onnx": 120.0}
    assert found.checks == {(OK.id, "quick"): 3.0}
    assert found.trials == {(OK.id, "quick"): 7.0}


def test_what_is_torn_or_of_another_version_is_passed_over(tmp_path: Path) -> None:
    run_with_times(tmp_path / "1", image_s=120.0, measure_s=9.0)
    for name in ("2", "3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text('{"profile": 3')
    (tmp_path / "3" / "events.jsonl").write_text('[1]\n{"event": "task_end", "task": 5}\n{"ev')
    (tmp_path / "3" / "results.jsonl").write_text(
        '{"status": "ok", "trials": [1], "cell": {"model": 1, "new": 2}, "wall_s": 5}\n'
    )
    assert read_history(tmp_path).tasks == {"image onnx": 120.0}


# ---- how long ----------------------------------------------------------------------------------


def test_other_devices_go_side_by_side_after_the_preparation_and_this_machine_last() -> None:
    found = Expected(
        images={"image a": 100.0, "image b": 20.0, "image c": 30.0, "image d": 30.0},
        jobs={"convert": 30.0, "check": 10.0},
        checks={"l": 1.0, "p": 2.0, "j": 3.0},
        trial={"l": 10.0, "p": 20.0, "j": 30.0},
        trials=2,
        devices={"local": ("l",), "phone": ("p",), "jetson": ("j",)},
        local=frozenset({"local"}),
    )
    assert found.preparation_s == 100.0 + 30.0
    assert found.total_s == found.preparation_s + (3.0 + 60.0) + (1.0 + 20.0)
    assert (side_by_side([], 3), side_by_side([9.0, 9.0, 9.0, 9.0], 3)) == (0.0, 12.0)


def test_without_an_earlier_run_a_rule_says_how_long() -> None:
    found = expect(CELLS, DEVICES, MODELS, QUICK, 3, "quick", History())
    assert found.images == dict.fromkeys(("image pytorch", "image onnx", "image tflite"), 180.0)
    assert found.checks == {ONNX.id: 0.5, TFLITE.id: 0.5, PHONE.id: 60.0}
    assert set(found.trial.values()) == {6.0}
    assert (found.learnt, found.by_rule) == (0, 8)


def test_what_is_cached_takes_no_time() -> None:
    names = {task.name for task in tasks_of(CELLS, DEVICES, MODELS)}
    assert expect(CELLS, DEVICES, MODELS, QUICK, 3, "quick", History(), names).preparation_s == 0.0


@pytest.mark.parametrize(
    ("pattern", "seconds"), [("single", 6.0), ("sustained", 605.0), ("server", 305.0)]
)
def test_a_trial_by_rule_follows_its_pattern(pattern: Any, seconds: float) -> None:
    assert rule_trial_s(replace(QUICK, pattern=pattern)) == seconds


def test_tasks_have_the_names_that_a_run_announces(
    rio: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class AtOnce:
        def __init__(self, name: str, workers: int) -> None:
            pass

        def submit(self, work: Any, after: Sequence[Future[Any]] = ()) -> Future[Any]:
            failed: Future[Any] = Future()
            failed.set_exception(StepFailed("not in this test"))
            with pytest.raises((StepFailed, AssertionError)):
                work()
            return failed

    names: list[str] = []

    def on_event(event: str, **values: Any) -> None:
        if event == "task":
            names.append(values["task"])

    monkeypatch.setattr(prepare, "Background", AtOnce)
    (tmp_path / "run").mkdir()
    recorder = Recorder(RunFolder(tmp_path / "run"), "r", tmp_path, Engine(), on_event)
    options = RunRules(QUICK, 1, 0, 10**9, 10.0, 1, 0)
    cells = [*CELLS, replace(ONNX, threads=2), Cell("rio", "tflite-runtime", "fp16", "phone")]
    prepare.Preparation({"rio": rio}, options, None, recorder, "r", "quick").start(cells, DEVICES)
    assert sorted(names) == sorted(task.name for task in tasks_of(cells, DEVICES, MODELS))


# ---- what is cached ----------------------------------------------------------------------------


def test_of_nothing_nothing_is_cached_and_nothing_is_made(rio: Model, tmp_path: Path) -> None:
    cached = Cached(Engine(), tmp_path / "cache", {"rio": rio}, DEVICES, None)
    assert cached.parts(ONNX) == CachedParts(image=False, artifact=False, predictions=None)
    assert cached.parts(PHONE) == CachedParts(image=None, artifact=False, predictions=None)
    assert cached.images_to_build(CELLS) == ["pytorch", "tflite", "onnx"]
    assert move("phone", CELLS, cached) == Move("phone", 0, 0, 1, None)
    assert list(tmp_path.iterdir()) == []


def test_images_converted_models_and_predictions_are_found_by_what_decides_them(
    rio: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    engine, accuracy = Engine("onnx", "pytorch"), ScoredOn("rio-val", 4)
    place = Place(engine, engine.build("onnx", tmp_path))
    spec = REGISTRY["onnx"].SPEC
    key = artifact_key(place, rio.spec, rio.folder, spec, "fp32")
    artifact = tmp_path / "artifacts" / key / "model.onnx"

    def parts() -> CachedParts:
        return Cached(engine, tmp_path, {"rio": rio}, DEVICES, accuracy).parts(ONNX)

    assert parts() == CachedParts(image=True, artifact=False, predictions=False)
    artifact.parent.mkdir(parents=True)
    artifact.write_bytes(b"x" * 1000)
    assert parts() == CachedParts(image=True, artifact=True, predictions=False)
    dataset = datasets.read(rio.datasets["rio-val"])
    pack = datasets.pack(dataset, tmp_path / "packs", datasets.evenly(len(dataset.images), 4))
    sha256 = "9f4b2f5bd1b5ba6c8fe7cbf9d5b1e8d9"  # of nothing: another artifact's predictions
    loaded = LoadedArtifact(rio.spec, rio.folder, "onnx", "fp32", artifact, sha256, place)
    (tmp_path / "predict" / pass_key("predict", loaded, pack.name, 4)).mkdir(parents=True)
    assert parts().predictions is False
    right = replace(loaded, sha256=datasets.hashlib.sha256(b"x" * 1000).hexdigest())
    (tmp_path / "predict" / pass_key("predict", right, pack.name, 4)).mkdir()
    assert parts() == CachedParts(image=True, artifact=True, predictions=True)
    cached = Cached(engine, tmp_path, {"rio": rio}, DEVICES, accuracy)
    assert move("phone", CELLS, cached) == Move("phone", 1000, 1, 0, None)
    few = datasets.pack(dataset, tmp_path / "packs", datasets.evenly(len(dataset.images), 16))
    assert move("phone", CELLS, cached).image_bytes == tree_bytes(pack) + tree_bytes(few)
    tasks = tasks_of([ONNX], DEVICES, MODELS)
    assert cached.names(tasks, {ONNX.id: ONNX}) == {
        "image pytorch",
        "image onnx",
        "convert rio to onnx fp32",
        "check rio as onnx fp32",
    }


def test_images_of_devices_elsewhere_are_not_built_here() -> None:
    assert image_names([PHONE], [], MODELS) == ["pytorch", "onnx"]
    assert image_names([], [], MODELS) == []


# ---- in words ----------------------------------------------------------------------------------


@dataclass
class Scenario:
    """A preview, made of few words."""

    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...] = ()
    scored: bool = True

    def preview(self, **changes: Any) -> Preview:
        done = CachedParts(True, True, True) if self.scored else CachedParts(True, True, None)
        parts = {
            cell.id: done if cell.device == "local" else CachedParts(None, True, None)
            for cell in self.cells
        }
        order = (*self.cells, *(s.cell for s in self.skipped))
        places = {cell.device: DEVICES.get(cell.device, DEVICES["phone"]) for cell in self.cells}
        found = Preview(
            scenario="cards",
            profile="quick",
            plan=Plan(self.cells, self.skipped),
            order=tuple(sorted(order, key=lambda c: (c.format, c.precision, c.threads))),
            parts=parts,
            images_to_build=(),
            moves=(),
            expected=expect(self.cells, places, MODELS, QUICK, 3, "quick", History()),
            notes=(),
        )
        return replace(found, **changes)


def text(found: Preview, width: int = 80) -> list[str]:
    return [line for _, line in plan_text.lines(found, width)]


def test_the_matrix_has_an_entry_a_cell_and_each_reason_once() -> None:
    int8 = [replace(cell, precision="int8") for cell in (ONNX, PHONE)]
    reason = "onnx does not support int8"
    found = Scenario((ONNX, TFLITE, PHONE), tuple(Skipped(c, reason) for c in int8)).preview(
        images_to_build=("tflite",),
        parts={
            ONNX.id: CachedParts(True, True, True),
            TFLITE.id: CachedParts(False, False, False),
            PHONE.id: CachedParts(None, True, None),
        },
        moves=(Move("phone", 12_345_678, 1, 0, 98_000_000),),
        notes=("label:jetson: no device file has this label",),
    )
    assert text(found) == [
        "cards: profile quick",
        "",
        "format  precision  local     phone",
        "onnx    fp32       run iap   run ?a?",
        "onnx    int8       skip [1]  skip [1]",
        "tflite  fp32       run ---   ·",
        "",
        "cached: i image, a converted model, p predictions; -: made during the run; ?:",
        "    unknown until connected",
        "·: excluded, or not matched by --only",
        "[1] onnx does not support int8 (2 cells)",
        "note: label:jetson: no device file has this label",
        "to run   3 cells, 9 trials; 2 skipped",
        "cached   converted model of 2 of 3 cells; predictions of 1 of 2 cells; images to",
        "         build: tflite",
        "transfer phone: at most 1 model 12 MB, images 98 MB; runtimes and files already",
        "         there: unknown until connected",
        "time     about 6 min: preparation about 4 min, devices about 2 min; assumes",
        "         6.0 s per trial: no earlier run has these cells",
        "         8 tasks of preparation assume 3 min 00 s per image, 30 s per",
        "         conversion, 30 s per check",
    ]


def test_rows_that_differ_in_threads_only_are_one() -> None:
    cells = tuple(replace(ONNX, threads=n) for n in (1, 2, 4))
    rows = text(Scenario(cells, scored=False).preview())[2:5]
    assert rows == ["format  precision  threads  local", "onnx    fp32       1, 2, 4  run ia", ""]


def test_rows_that_differ_in_what_is_cached_stay_apart() -> None:
    cells = tuple(replace(ONNX, threads=n) for n in (1, 2))
    parts = {
        cells[0].id: CachedParts(True, True, True),
        cells[1].id: CachedParts(True, True, False),
    }
    assert text(Scenario(cells).preview(parts=parts))[3:5] == [
        "onnx    fp32       1        run iap",
        "onnx    fp32       2        run ia-",
    ]


def test_a_format_that_is_skipped_at_every_precision_is_one_row() -> None:
    names = ("fp32", "fp16", "int8")
    cells = [Cell("rio", "tensorrt", name, "local") for name in names]  # type: ignore[arg-type]
    skipped = tuple(Skipped(cell, "not implemented yet") for cell in cells)
    found = Scenario((), skipped).preview(order=tuple(cells))
    assert text(found) == [
        "cards: profile quick",
        "",
        "format    precision         local",
        "tensorrt  fp32, fp16, int8  skip [1]",
        "",
        "[1] not implemented yet (3 cells)",
        "to run   0 cells, 0 trials; 3 skipped",
    ]


def test_devices_that_do_not_fit_beside_each_other_are_in_a_second_block() -> None:
    names = [f"phone-on-the-shelf-{n}" for n in range(4)]
    cells = tuple(replace(PHONE, device=name) for name in names)
    lines = text(Scenario(cells, scored=False).preview())
    assert lines[2:9] == [
        f"format  precision  {names[0]}  {names[1]}",
        f"onnx    fp32       {'run ?a':<20}  run ?a",
        "",
        f"format  precision  {names[2]}  {names[3]}",
        f"onnx    fp32       {'run ?a':<20}  run ?a",
        "",
        "cached: i image, a converted model; -: made during the run; ?: unknown until",
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_no_line_of_a_plan_is_wider_than_the_terminal(width: int) -> None:
    names = [f"phone-on-the-shelf-{n}" for n in range(9)]
    cells = tuple(replace(PHONE, device=name) for name in names)
    assert max(map(len, text(Scenario(cells).preview(), width))) <= width


def test_an_estimate_says_how_much_of_it_is_learnt() -> None:
    def said(learnt: Sequence[Cell]) -> str:
        trials = {(cell.id, "quick"): 5.0 for cell in learnt}
        found = expect(
            [ONNX, PHONE], DEVICES, MODELS, QUICK, 3, "quick", History(trials=trials), ["x"]
        )
        return plan_text.estimate_text(replace(found, images={}, jobs={}))

    assert said([ONNX, PHONE]) == ("about 2 min on the devices, based on earlier runs")
    assert said([ONNX]) == (
        "about 2 min on the devices; 1 of 2 cells based on earlier runs, the others assume "
        "6.0 s per trial"
    )


def test_a_plan_as_json_has_its_own_keys_and_the_preview_s() -> None:
    found = json.loads(plan_text.as_json(Scenario((ONNX, PHONE)).preview()))
    assert list(found) == [
        "cells", "skipped", "notes", "cached", "images_to_build", "routes", "to_move", "expected_s",
    ]  # fmt: skip
    assert found["cached"][PHONE.id] == {"image": None, "artifact": True, "predictions": None}
    assert found["expected_s"]["devices"] == {"local": 18.5, "phone": 78.0}


def test_a_route_is_shown_if_it_has_several_steps_or_a_chosen_tool() -> None:
    cells = [
        replace(TFLITE, format=format) for format in ("tflite", "tflite@onnx2tf", "savedmodel")
    ]
    assert routes_of(cells, MODELS) == [
        "rio, tflite@onnx2tf: onnx (torch.onnx) > savedmodel (onnx2tf) > tflite (tf.lite)",
        "rio, savedmodel: onnx (torch.onnx) > savedmodel (onnx2tf)",
    ]


def test_each_conversion_of_two_routes_is_one_task() -> None:
    cells = [replace(TFLITE, format=format) for format in ("tflite", "tflite@onnx2tf", "onnx")]
    names = [task.name for task in tasks_of(cells, DEVICES, MODELS) if task.kind == "convert"]
    assert names == [
        "convert rio to tflite fp32",
        "convert rio to onnx fp32",
        "convert rio to savedmodel fp32 (from onnx)",
        "convert rio to tflite fp32 (from savedmodel)",
    ]


def test_routes_are_between_the_reasons_and_the_notes() -> None:
    found = Scenario((TFLITE,)).preview(routes=("rio, tflite: a > b",), notes=("n",))
    lines = text(found)
    at = lines.index("route: rio, tflite: a > b")
    assert lines[at + 1] == "note: n"
