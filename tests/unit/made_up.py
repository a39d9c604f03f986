"""One made-up thing of every kind that bench can be given, each as one file would hold it; and a
world to put them into: a project, and a container engine that is this process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from harness import formats
from harness.cache import file_sha256
from harness.containers import CompletedJob, JobSpec, Mount
from harness.errors import ConfigError
from harness.formats.placement import Profiled
from harness.kinds import KindSpec
from harness.metrics.spec import Held, MetricSpec, Value
from harness.records import (
    Arrivals,
    Conversion,
    DeviceFacts,
    DeviceState,
    FormatSpec,
    Image,
    Layer,
    ModelSpec,
)
from harness.report.page import Maker, Page, Report
from harness.report.parts import Part, page
from harness.run import pipeline
from harness.runner.job import Job
from harness.runner.loop import run_chunk
from harness.runner.modes import MODES
from harness.runner.patterns.spec import Fact, PatternSpec, Timed, option
from harness.runner.threads import allowed
from harness.runtimes import DeviceMount
from harness.scenario import config, plan
from harness.scenario.scenario import Scenario
from harness.serial import dumps, loads
from harness.store import Run
from harness.tasks.detections import Detections, pack
from harness.tasks.letterbox import letterbox
from harness.transports import Completed, OnLine
from harness.transports.local import LocalTransport

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
    IMAGES=True,
    OPTIONS=("score_threshold",),
    preprocess=lambda image, spec, out=None: letterbox(image, spec.input.size, out),
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


# ---- formats of which only the runtime is made up ----------------------------------------------


class NumpyEngine:
    """One sure point; a second one, which int8 believes in twice as much as is allowed for."""

    unbound: tuple[str, ...] = ()

    def __init__(self, precision: str, model: ModelSpec) -> None:
        self.inputs = model.inputs
        self.second = 0.02 if precision == "int8" else 0.005

    def feed(self, tensors: Any) -> None:
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
        load=lambda path, model, options: NumpyEngine(options.precision, model),
        profile=lambda path, model, options, inputs, runs: Profiled(
            "CPU", "tool", runs, (Layer("a", "Add", "CPU", 1.0),)
        ),
    )


# ---- a format, which each device converts for itself -------------------------------------------

CLAY = SimpleNamespace(
    SPEC=FormatSpec(
        "clay", "Clay tablet", ".clay", {"fp32": "carved"}, "clay", "clay", "json",
        lacks={"int8": "a tablet has no int8"}, converted_on="device", kinds=("linux", "toaster"),
        conversions=(Conversion("pytorch", "knife", "clay"),),
    ),
    convert=lambda model, source, precision, out: out.write_text("clay"),
    load=lambda path, model, options: NumpyEngine(options.precision, model),
    profile=numpy_format("onnx").profile,
)  # fmt: skip


# ---- a kind of device, a transport to it, and how a runner gets there --------------------------


@contextmanager
def toasted(transport: Any, allowed: Sequence[str], workdir: str) -> Iterator[tuple[str, ...]]:
    yield tuple(f"{name}: low" for name in allowed)


TOASTER = SimpleNamespace(
    SPEC=KindSpec("toaster", "Toaster", "/bench", ("slot",), {"browning": "holds the browning"}),
    read_facts=lambda transport: DeviceFacts(
        "toaster", "x86_64", "Toast 1", model="Crumb", cpus=allowed(), workdir=transport.workdir
    ),
    read_state=lambda transport: DeviceState("2026-11-22T09:00:00+00:00", throttled=False),
    steady=toasted,
    restore=lambda transport, workdir: (),
)


class Pigeon(LocalTransport):
    """Carries files to a folder of this machine, whose `slot` runs a job in this process."""

    def __init__(self, target: Any) -> None:
        super().__init__(target.name)
        self.workdir = target.address

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        if argv[0] != "slot":
            return super().run(argv, timeout_s=timeout_s, on_line=on_line)
        run_here(Path(argv[1]))
        return Completed(0, b"toasted\n", b"", 0.1)


class Slotted:
    """A runtime that is there."""

    image = Image("clay", "slot", "clay", "sha256:slot", True, 0.0)

    def seen(self, there: DeviceMount) -> str:
        return str(there.path)

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[DeviceMount],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        return ("slot", argv[-1])


SLOT = SimpleNamespace(
    lacks=lambda facts: None if facts.arch == "x86_64" else "no slot",
    why_not=lambda image, facts, engine: None,
    provide=lambda transport, wanted, on_line=None: Slotted(),
)


# ---- the world they are put into ---------------------------------------------------------------


def run_here(folder: Path) -> None:
    """The runner's own modes, in this process."""
    job = loads(Job, (folder / "job.json").read_bytes())
    allowed = os.sched_getaffinity(0)
    try:
        answer = MODES[job.mode](job, folder, lambda event, **more: None, time.perf_counter_ns())
    finally:
        os.sched_setaffinity(0, allowed)  # elsewhere the next job is another process
    (folder / "result.json").write_text(dumps(answer))


class InProcess:
    """A container engine whose containers are this process."""

    name = "docker"
    confinement = "docker"

    def build(self, name: str, log: Path, on_line: Any = None) -> Image:
        return Image(name, "docker", name, f"sha256:{name}", True, 0.0)

    def locate(self, mount: Mount) -> str:
        return str(mount.host)

    def close(self) -> None:
        pass

    def run(self, image: Image, spec: JobSpec, on_line: Any = None) -> CompletedJob:
        run_here(next(mount.host for mount in spec.mounts if mount.writable))
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
formats: [FORMATS]
precisions: [fp32, int8]
matrix: {threads: [THREADS]}
measure: {profile: smoke, pattern: burst, burst: {size: 3}}
accuracy: {dataset: val}
gates: {count_error_rise: 0.5, count_error_max: 2}
"""


def scenario(threads: int = 1, formats: str = "pytorch, onnx") -> str:
    return SCENARIO.replace("THREADS", str(threads)).replace("FORMATS", formats)


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
        devices = {path.stem: path for path in (self.root / "devices").iterdir()}
        inventory = plan.read_inventory({"m": self.root / "models/m"}, devices)
        return source, inventory, plan.make_plan(source, inventory)

    def mistakes(self, text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.planned(text)
        return [line.replace(f"{self.root}/", "") for line in raised.value.mistakes]

    def run(self, name: str, formats: str = "pytorch, onnx", more: str = "") -> Run:
        """Asks for all of this process's CPUs: nothing pins it, and a trial tells what it had."""
        text = scenario(len(allowed()), formats) + more
        source, inventory, made = self.planned(text)
        engine: Any = InProcess()
        request = pipeline.RunRequest(
            source, made, inventory.models, inventory.devices, engine,
            self.root / "cache", self.root / "runs" / name, "bench run s.yaml",
        )  # fmt: skip
        return pipeline.execute(request)
