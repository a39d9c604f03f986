"""One more thing is one file: each is registered here, nothing else is told of it, and all of bench
takes it: the scenario and its schema, the run, the export, the gates and the pages.

The run is a real one, from the YAML to the HTML; only the container is this process, and the
runtime is a few lines of numpy.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import duckdb
import jsonschema
import numpy as np
import pytest
from PIL import Image as Picture

from harness import export, formats, kinds, metrics, runtimes, tasks, transports
from harness.cache import file_sha256
from harness.cli import run_text
from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import ConfigError
from harness.formats.placement import Profiled
from harness.kinds import KindSpec
from harness.metrics.spec import Held, MetricSpec, Value
from harness.records import Arrivals, CellResult, DeviceFacts, FormatSpec, Image, Layer
from harness.report import pages as report_pages
from harness.report.build import BUGS, build, build_run
from harness.report.page import Maker, Page, Report, cell_href
from harness.report.parts import Part, page
from harness.run import pipeline
from harness.runner import patterns
from harness.runner.job import Job
from harness.runner.loop import run_chunk
from harness.runner.modes import MODES
from harness.runner.patterns.spec import Fact, PatternSpec, Timed, option
from harness.runner.threads import allowed
from harness.scenario import config, init_project, plan
from harness.scenario.scenario import Scenario
from harness.serial import dumps, loads
from harness.store import Run
from harness.tasks.detections import Detections, pack
from harness.tasks.letterbox import letterbox

# ---- a metric: how many objects too many or too few, where less is better ----------------------


def count_error(
    predictions: Mapping[str, Any], truth: Path, classes: Sequence[str]
) -> dict[str, float]:
    looked_at = predictions["image_size"][:, 0].tolist()
    annotations = json.loads(truth.read_text())["annotations"]
    errors = [
        abs(
            int((predictions["image_id"] == n).sum()) - sum(a["image_id"] == n for a in annotations)
        )
        for n in looked_at
    ]
    return {"count_error": float(np.mean(errors)), "count_worst": float(max(errors))}


METRIC = SimpleNamespace(
    SPEC=MetricSpec(
        "Counting",
        (
            Value(
                "count_error",
                "Count error",
                better="lower",
                digits=2,
                unit="objects",
                held=Held({"fp32": 0.1, "fp16": 0.5, "int8": 2.0}, relative=False),
                gates=("rise", "max"),
                tolerance=0.5,
            ),
            Value("count_worst", "Worst count", better="lower", digits=0),
        ),
    ),
    score=count_error,
)


# ---- an arrival pattern: bursts of images, with a pause after each -----------------------------


@dataclass(frozen=True)
class Burst:
    """Bursts of images; read by `pattern: burst`."""

    size: int = option(2, "Images of a burst.", ge=1, le=16)
    pauses_ms: tuple[float, ...] = option((1.0,), "Pauses, in turn.", gt=0, max_length=4)


def run_bursts(engine: Any, inputs: Sequence[Any], rules: Any, options: Burst) -> Timed:
    start, latency, bursts = [], [], -(-rules.min_samples // options.size)
    for burst in range(bursts):
        starts = np.zeros(options.size, np.int64)
        latency.append(run_chunk(engine, inputs, burst * options.size, options.size, starts))
        start.append(starts)
        time.sleep(options.pauses_ms[burst % len(options.pauses_ms)] / 1e3)
    arrays = {"start_ns": np.concatenate(start), "latency_ns": np.concatenate(latency)}
    count = bursts * options.size
    seconds = float(arrays["start_ns"][-1] - arrays["start_ns"][0]) / 1e9
    figures = {"size": float(options.size), "bursts": float(bursts)}
    return Timed(arrays, False, Arrivals("burst", count, seconds, count / seconds, figures=figures))


PATTERN = SimpleNamespace(
    SPEC=PatternSpec(
        about="in bursts, with a pause after each",
        options=Burst,
        title="Images in bursts",
        facts=(
            Fact("images of a burst", lambda a: a.figures["size"]),
            Fact("bursts", lambda a: a.figures["bursts"], total=True),
        ),
        asked=lambda a: f"{a.figures['size']:g} at a time",
        longest_s=lambda rules, options: 7.0 * options.size,
    ),
    run=run_bursts,
)


# ---- a task: points with a score, counted by the metric ----------------------------------------


def find_points(outputs: Any, geometry: Any, spec: Any, *, score_threshold: float) -> Detections:
    scores, points = outputs["scores"][0], outputs["points"][0]
    found = np.flatnonzero(scores >= score_threshold)
    boxes = np.concatenate([points[found], points[found] + 1], 1).astype(np.float32)
    return Detections(boxes, scores[found].astype(np.float32), np.zeros(len(found), np.int32))


TASK = SimpleNamespace(
    METRIC="counting",
    OUTPUTS=("points", "scores"),
    preprocess=lambda image, spec, out=None: letterbox(image, spec.input.shape[-2:], out),
    check=lambda outputs, spec: None,
    postprocess=find_points,
    pack=pack,
)


# ---- a report page: what the run had to count --------------------------------------------------


def count_pages(report: Report) -> Iterator[Page]:
    facts = tuple(
        (report.axes.label(e.cell), f"{e.score('count_error'):.1f} off")
        for e in report.entries
        if e.summary
    )
    yield page("counts.html", "Counts", "How far off each cell counts.", [Part("All", facts=facts)])


PAGE = Maker("Counts", "counts.html", count_pages)


# ---- the world they are put into ---------------------------------------------------------------


class NumpyEngine:
    """One sure point; a second one, which int8 believes in twice as much as is allowed for."""

    def __init__(self, precision: str) -> None:
        self.second = 0.02 if precision == "int8" else 0.005

    def feed(self, tensor: Any) -> None:
        pass

    def invoke(self) -> None:
        time.sleep(0.0005)

    def fetch(self) -> dict[str, Any]:
        points = np.array([[(1, 1), (4, 4)]], np.float32)
        return {"points": points, "scores": np.array([(0.9, self.second)], np.float32)}


def numpy_format(name: str) -> Any:
    """A format of which only the runtime is made up."""
    return SimpleNamespace(
        SPEC=replace(formats.REGISTRY[name].SPEC, runtime="json", imports=()),
        convert=lambda model, source, precision, out: out.write_text(precision),
        load=lambda path, model, options: NumpyEngine(options.precision),
        profile=lambda path, model, options, inputs, runs: Profiled(
            "CPU", "tool", runs, (Layer("a", "Add", "CPU", 1.0),)
        ),
    )


class InProcess:
    """A container engine that runs the runner's own modes in this process."""

    name = "docker"

    def build(self, name: str, log: Path, on_line: Any = None) -> Image:
        return Image(name, "docker", name, f"sha256:{name}", True, 0.0)

    def locate(self, mount: Mount) -> str:
        return str(mount.host)

    def close(self) -> None:
        pass

    def run(self, image: Image, spec: JobSpec, on_line: Any = None) -> CompletedJob:
        folder = next(mount.host for mount in spec.mounts if mount.writable)
        job = loads(Job, (folder / "job.json").read_bytes())
        answer = MODES[job.mode](job, folder, lambda event, **more: None, time.perf_counter_ns())
        (folder / "result.json").write_text(dumps(answer))
        spec.log.write_text("fine\n")
        return CompletedJob(0, "", 0.1)


def write_project(root: Path) -> None:
    """A model of the made-up task, three images with one object each, and this machine."""
    folder = root / "models/m"
    images = folder / "data/images"
    images.mkdir(parents=True)
    (folder / "w.pt").write_bytes(b"weights")
    (folder / "network.py").write_text("")
    listed, boxes = [], []
    for n in range(3):
        Picture.new("RGB", (8, 8)).save(images / f"{n}.png")
        listed.append({"id": n, "file_name": f"{n}.png", "height": 8, "width": 8})
        boxes.append({"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 4, 4]})
    content = {"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "card"}]}
    data = folder / "data"
    (data / "annotations.json").write_text(json.dumps(content))
    files = {str(p.relative_to(data)): file_sha256(p) for p in data.rglob("*") if p.is_file()}
    (data / "manifest.json").write_text(json.dumps({"name": "val", "images": 3, "files": files}))
    (folder / "model.yaml").write_text(
        f"task: count\nmodule: network.py\nweights: w.pt\nsha256: {file_sha256(folder / 'w.pt')}\n"
        "input: {name: i, shape: [1, 3, 8, 8]}\noutputs: [points, scores]\nclasses: [card]\n"
        "datasets: {val: data}\n"
    )
    (root / "devices").mkdir()
    (root / "devices/local.yaml").write_text("kind: linux\ntransport: local\n")


SCENARIO = """\
name: counted
models: [m]
formats: [pytorch, onnx]
precisions: [fp32, int8]
matrix: {threads: [THREADS]}
measure: {profile: smoke, pattern: burst, burst: {size: 3}}
accuracy: {dataset: val}
gates: {count_error_rise: 0.5, count_error_max: 2}
"""


def scenario(threads: int = 1) -> str:
    return SCENARIO.replace("THREADS", str(threads))


@dataclass(frozen=True)
class World:
    """The project's folder, with what is made up registered."""

    root: Path

    def scenario(self, text: str) -> Scenario:
        path = self.root / "s.yaml"
        path.write_text(text)
        return config.read_scenario(path)

    def planned(self, text: str) -> tuple[Scenario, plan.Inventory, Any]:
        source = self.scenario(text)
        devices = {"local": self.root / "devices/local.yaml"}
        inventory = plan.read_inventory({"m": self.root / "models/m"}, devices)
        return source, inventory, plan.make_plan(source, inventory)

    def mistakes(self, text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.planned(text)
        return [line.replace(f"{self.root}/", "") for line in raised.value.mistakes]

    def run(self, name: str) -> Run:
        """Asks for all of this process's CPUs: nothing pins it, and a trial tells what it had."""
        source, inventory, made = self.planned(scenario(threads=len(allowed())))
        engine: Any = InProcess()
        request = pipeline.RunRequest(
            source, made, inventory.models, inventory.devices, engine,
            self.root / "cache", self.root / "runs" / name, "bench run s.yaml",
        )  # fmt: skip
        return pipeline.execute(request)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    write_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        patch.setattr("harness.run.trial.monitored", lambda how, measure: (measure(), ()))
        for name in ("pytorch", "onnx"):
            patch.setitem(formats.REGISTRY, name, numpy_format(name))
        registries: list[tuple[Any, str, Any]] = [
            (metrics.REGISTRY, "counting", METRIC),
            (patterns.REGISTRY, "burst", PATTERN),
            (tasks.REGISTRY, "count", TASK),
            (report_pages.REGISTRY, "counts", PAGE),
        ]
        for registry, name, thing in registries:
            patch.setitem(registry, name, thing)
        yield World(root)


@pytest.fixture(scope="module")
def run(world: World) -> Run:
    return world.run("r1")


@pytest.fixture(scope="module")
def report(world: World, run: Run) -> Path:
    return build_run(run.folder, world.root / "report").parent


def cell(run: Run, format: str, precision: str) -> CellResult:
    return next(r for r in run.results if (r.cell.format, r.cell.precision) == (format, precision))


# ---- planned: what fits is accepted, what does not is refused at its line ----------------------


def test_gates_of_a_metric_are_keys_of_the_scenario(world: World) -> None:
    gates = world.scenario(scenario()).gates
    assert gates == {"count_error_rise": 0.5, "count_error_max": 2.0}
    text = scenario().replace("count_error_rise: 0.5", "count_error_rose: -1")
    assert world.mistakes(text) == [
        "s.yaml:8: gates.count_error_rose: unknown key; did you mean 'count_error_rise'?"
    ]
    assert world.mistakes(text.replace("rose", "rise")) == [
        "s.yaml:8: gates.count_error_rise: input should be greater than or equal to 0, got -1"
    ]


def test_a_gate_that_no_model_here_can_meet_is_refused(world: World) -> None:
    text = scenario()
    assert world.mistakes(text.replace("count_error_max: 2", "top1_drop: 0.1")) == [
        "s.yaml:8: gates.top1_drop: no model here is scored by Top-1; "
        "known: count_error_rise, count_error_max"
    ]
    assert world.mistakes(text.replace("accuracy: {dataset: val}\n", "")) == [
        "s.yaml:7: gates.count_error_rise: nothing is scored without `accuracy`"
    ]


def test_options_of_a_pattern_are_checked_against_its_bounds(world: World) -> None:
    text = scenario()
    rules = world.scenario(text).measuring.options
    assert patterns.options(rules) == Burst(3, (1.0,))
    assert patterns.longest_loop_s(rules) == 21.0
    text = text.replace("{size: 3}", "{size: 17, pauses_ms: [1, 0], pause: 1}")
    assert world.mistakes(text) == [
        "s.yaml:6: measure.burst.size: input should be less than or equal to 16, got 17",
        "s.yaml:6: measure.burst.pauses_ms[1]: input should be greater than 0, got 0",
        "s.yaml:6: measure.burst.pause: unknown key; did you mean 'pauses_ms'?",
    ]
    assert world.mistakes(scenario().replace("pattern: burst", "pattern: b")) == [
        "s.yaml:6: measure.pattern: 'b' is not one of single, offline, camera, server, sustained, "
        "burst"
    ]


def test_a_task_is_known_to_model_files_and_to_new_projects(world: World) -> None:
    assert world.planned(scenario())[1].models["m"].spec.task == "count"
    path = world.root / "models/m/model.yaml"
    good = path.read_text()
    path.write_text(good.replace("task: count", "task: cuont"))
    try:
        assert world.mistakes(scenario()) == [
            "models/m/model.yaml:1: task: 'cuont' is not one of classification, detection, "
            "instance-segmentation, count"
        ]
    finally:
        path.write_text(good)
    assert "| instance-segmentation | count" in init_project.model()


def test_the_schema_has_them(world: World) -> None:
    schema = config.schema()
    asked: dict[str, Any] = {"name": "x", "models": ["m"], "formats": ["onnx"]}
    jsonschema.validate({**asked, "measure": {"pattern": "burst", "burst": {"size": 4}}}, schema)
    jsonschema.validate({**asked, "gates": {"count_error_rise": 0.5}}, schema)
    for wrong in ({"measure": {"burst": {"size": 0}}}, {"gates": {"count_error_drop": 0.5}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**asked, **wrong}, schema)
    about = schema["$defs"]["Gates"]["properties"]["count_error_rise"]["description"]
    assert about == "Largest rise of Count error, objects against the fp32 reference."


# ---- run: the task decodes, the metric scores, the pattern times -------------------------------


def test_a_cell_is_scored_by_the_metric_of_its_task(run: Run) -> None:
    assert {(r.cell.format, r.cell.precision): r.status for r in run.results} == {
        ("pytorch", "fp32"): "ok",
        ("pytorch", "int8"): "skipped",
        ("onnx", "fp32"): "ok",
        ("onnx", "int8"): "ok",
    }
    right, wrong = cell(run, "onnx", "fp32").scores, cell(run, "onnx", "int8").scores
    assert right
    assert wrong
    assert (right.metric, right.values) == ("counting", {"count_error": 0.0, "count_worst": 0.0})
    assert wrong.values == {"count_error": 1.0, "count_worst": 1.0}
    parity = cell(run, "onnx", "int8").parity
    assert parity
    assert parity.reference_metrics == right.values


def test_a_cell_that_is_worse_than_the_metric_allows_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = METRIC.SPEC.values
    strict = replace(first, held=Held({"int8": 0.5}, relative=False))
    monkeypatch.setattr(METRIC, "SPEC", MetricSpec("Counting", (strict, second)))
    failure = cell(world.run("strict"), "onnx", "int8").failure
    assert failure
    assert (failure.step, failure.reason) == (
        "score",
        "accuracy: count_error 1 is 1 above the fp32 reference's 0; int8 may be 0.5 worse",
    )


def test_the_pattern_ran_with_its_options(run: Run) -> None:
    (trial,) = cell(run, "onnx", "fp32").trials
    assert trial.arrivals
    assert (trial.arrivals.pattern, trial.arrivals.n) == ("burst", 9)  # three bursts for 8 samples
    assert trial.arrivals.figures == {"size": 3.0, "bursts": 3.0}
    with np.load(run.folder / trial.folder / "samples.npz") as samples:
        assert len(samples["latency_ns"]) == len(samples["start_ns"]) == 9


# ---- gated, exported, compared -----------------------------------------------------------------


def test_a_broken_gate_is_named(run: Run) -> None:
    broken = cell(run, "onnx", "int8").cell.id
    assert run.info.broken_gates == (f"{broken}: count_error_rise: 1.000 > 0.5",)
    assert run.info.gates == {"count_error_rise": 0.5, "count_error_max": 2.0}


def test_its_values_are_the_last_columns_of_the_export(run: Run, tmp_path: Path) -> None:
    assert export.columns() == (*export.COLUMNS, "count_error", "count_worst")
    rows = {r["cell_id"]: r for r in csv.DictReader(io.StringIO(export.as_csv(run).decode()))}
    row = rows[cell(run, "onnx", "int8").cell.id]
    assert (row["count_error"], row["count_worst"], row["map50_95"]) == ("1.0", "1.0", "")
    path = tmp_path / "x.parquet"
    path.write_bytes(export.as_parquet(run))
    with duckdb.connect() as database:
        relation = database.sql(f"SELECT count_error FROM '{path}'")
        assert [str(kind) for kind in relation.types] == ["DOUBLE"]
    assert "| 9 | Count error 1.000 objects |" in export.as_markdown(run).decode()
    suite = ElementTree.fromstring(export.as_junit(run))
    (failure,) = suite.iter("failure")
    assert "count_error_rise: 1.000 > 0.5" in (failure.get("message") or "")


def test_the_terminal_shows_the_headline(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_text.show_run(run)
    said = capsys.readouterr().out
    assert "Count error" in said
    assert "1.000 objects" in said
    assert "gate broken" in said
    assert "mAP" not in said


def test_results_that_arrived_in_another_way_are_not_compared(run: Run) -> None:
    from harness.analysis.differences import arrivals

    assert arrivals(cell(run, "onnx", "fp32")) == "burst, 3 at a time"


# ---- drawn -------------------------------------------------------------------------------------


def test_the_front_page_has_the_column_and_marks_the_lowest(run: Run, report: Path) -> None:
    html = (report / "index.html").read_text()
    assert ">Count error</th>" in html
    assert "1.00 objects" in html
    assert "count_error_rise: 1.000 &gt; 0.5" in html
    assert "mAP" not in html
    figures = re.findall(r'data-head="Count error" data-value="([^"]+)">(.*?)</td>', html)
    assert [(value, "★" in text) for value, text in figures] == [
        ("0.0", False),  # two of three share the best
        ("0.0", False),
        ("1.0", False),
    ]


def test_latency_is_drawn_against_it(report: Path) -> None:
    html = (report / "pareto.html").read_text()
    assert "Median latency against Count error." in html


def test_a_cell_s_page_shows_the_metric_and_the_pattern(run: Run, report: Path) -> None:
    html = (report / cell_href(cell(run, "onnx", "int8").cell.id)).read_text()
    assert "<dt>Count error</dt><dd>1.000 objects</dd>" in html
    assert "<dt>Worst count</dt><dd>1.0</dd>" in html
    assert "<h2>Images in bursts</h2>" in html
    assert "<dt>images of a burst</dt><dd>3.00</dd>" in html
    assert "<dt>bursts</dt><dd>3 in all trials</dd>" in html


def test_a_page_needs_no_template_of_its_own(report: Path) -> None:
    html = (report / "counts.html").read_text()
    assert "How far off each cell counts." in html
    assert "<dt>onnx int8</dt><dd>1.0 off</dd>" in html
    assert '<a href="counts.html">Counts</a>' in (report / "index.html").read_text()


def test_a_page_that_meets_a_bug_ends_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(report: Any) -> Any:
        raise ZeroDivisionError("moon")
        yield

    monkeypatch.setitem(report_pages.REGISTRY, "moon", Maker("Moon phases", "moon.html", make))  # type: ignore[misc]
    index = build(run, tmp_path / "report")
    assert "counted" in index.read_text()
    assert "bug: ZeroDivisionError: moon" in (tmp_path / "report/moon.html").read_text()
    text = (tmp_path / "report" / BUGS).read_text()
    assert "unexpected ZeroDivisionError in page moon of r1" in text
    monkeypatch.delitem(report_pages.REGISTRY, "moon")  # type: ignore[misc]
    build(run, tmp_path / "report")
    assert not (tmp_path / "report" / BUGS).exists()


# ---- a kind, a transport, a runtime, a format ---------------------------------------------------


def test_a_device_may_be_of_a_new_kind_on_a_new_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pi.yaml"
    path.write_text("kind: toaster\ntransport: pigeon\naddress: loft\n")
    with pytest.raises(ConfigError) as caught:
        config.read_device(path)
    assert caught.value.mistakes == [
        f"{path}:1: kind: 'toaster' is not one of linux, jetson, android, macos",
        f"{path}:2: transport: 'pigeon' is not one of local, ssh, adb",
    ]
    toaster: Any = types.ModuleType("toaster")
    toaster.SPEC = KindSpec("toaster", "Toaster", "/bench", ("slot",), {})
    slot: Any = types.ModuleType("slot")
    slot.lacks = lambda facts: None if facts.arch == "x86_64" else "no slot"
    pigeon = object()
    monkeypatch.setitem(kinds.REGISTRY, "toaster", lambda: toaster)  # type: ignore[misc]
    monkeypatch.setitem(runtimes.REGISTRY, "slot", lambda: slot)  # type: ignore[misc]
    monkeypatch.setitem(transports.REGISTRY, "pigeon", lambda: lambda target: pigeon)  # type: ignore[misc]
    device = config.read_device(path)
    assert (device.kind, device.transport) == ("toaster", "pigeon")
    assert transports.connect(device) is pigeon
    facts = DeviceFacts("toaster", "x86_64", "Toast 1")
    offered = kinds.find("toaster").SPEC.runtimes
    assert [name for name in offered if runtimes.find(name).lacks(facts) is None] == ["slot"]


def test_a_format_is_planned_with_its_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = types.ModuleType("clay")
    made.SPEC = FormatSpec(
        "clay", "Clay tablet", ".clay", {"fp32": "carved"}, "clay", "clay", "clay",
        lacks={"fp16": "half a tablet breaks"}, converted_on="device",
    )  # fmt: skip
    monkeypatch.setitem(formats.REGISTRY, "clay", made)  # type: ignore[misc]
    assert plan.formats()["clay"].converted_on == "device"
    assert "clay" in plan.known_names((), ())["formats"]
