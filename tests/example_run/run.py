"""A made-up run with every kind of entry, for the examination of a page without measuring anything.

Its numbers come from a seed and mean nothing. Used by tests, the benchmark and authors of pages:
`PYTHONPATH=tests python -m example_run.run OUT`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from harness.records import (
    PRECISIONS,
    Artifact,
    Cell,
    CellResult,
    Failure,
    Image,
    Interval,
    OutputParity,
    Parity,
    Plan,
    Precision,
    RunInfo,
    Scores,
    Skipped,
    Summary,
    Trial,
)
from harness.store import RunFolder

from . import devices as example_devices
from . import trials as example_trials

FORMATS: Final = ("pytorch", "torchscript", "onnx", "openvino", "tflite")
_BASE_MS: Final = {
    "pytorch": 41.0,
    "torchscript": 33.0,
    "onnx": 17.6,
    "openvino": 17.65,
    "tflite": 24.0,
}
_FASTER: Final = {"fp32": 1.0, "fp16": 1.02, "int8": 0.72}
DEVICES: Final = ("local", "pi5", "jetson", "phone-arm64")
_SLOWER: Final = {"local": 1.0, "pi5": 4.2, "jetson": 2.3, "phone-arm64": 31.0}
_COMPUTE: Final = {
    "fp32": "fp32",
    "fp16": "fp16 weights, computes in fp32",
    "int8": "int8 weights, fp32 activations",
}


@dataclass(frozen=True)
class ExampleRun:
    """A run as the report takes it."""

    folder: Path
    info: RunInfo
    plan: Plan
    results: tuple[CellResult, ...]


def example(
    folder: Path,
    devices: Sequence[str] = DEVICES,
    formats: Sequence[str] = FORMATS,
    threads: Sequence[int] = (1,),
    samples: int = 700,
    trials: int = 3,
    rich: bool = True,
) -> ExampleRun:
    """Write the samples of a made-up run into `folder` and return its records.

    Without `rich` it is as a run of the first versions: no readings, memory, energy, patterns,
    layers, and nothing of its devices.
    """
    rng = np.random.default_rng(7)
    cells, skipped = _plan(devices, formats, threads)
    maker = Maker(folder, samples, trials, rng, rich, dict.fromkeys(devices, 1000.0))
    results = [_result(maker, cell) for cell in cells[: len(cells) - 1]]
    if rich:
        store = RunFolder(folder)
        for name in devices:
            store.write_device(example_devices.about(name))
    plan = Plan(tuple(cells), tuple(skipped), ("label:watch: no device has this label",))
    return ExampleRun(folder, _info(), plan, tuple(results))


@dataclass(frozen=True)
class Maker:
    """What every made-up trial needs; `clocks` are the devices' seconds since boot."""

    folder: Path
    samples: int
    trials: int
    rng: np.random.Generator
    rich: bool
    clocks: dict[str, float]


def _plan(
    devices: Sequence[str], formats: Sequence[str], threads: Sequence[int]
) -> tuple[list[Cell], list[Skipped]]:
    every = [
        Cell("rio", f, p, d, t)
        for d in devices
        for f in formats
        for p in PRECISIONS
        for t in threads
    ]
    lacks = {("torchscript", "int8"), ("pytorch", "int8"), ("openvino", "int8")}
    why = "{} does not support int8: its quantiser needs calibration data"
    gone = [Skipped(c, why.format(c.format)) for c in every if (c.format, c.precision) in lacks]
    gone += [
        Skipped(Cell("rio", "tensorrt", p, devices[0]), "not implemented yet")
        for p in PRECISIONS[:2]
    ]
    return [c for c in every if (c.format, c.precision) not in lacks], gone


def _info() -> RunInfo:
    wall = {"plan": 0.02, "images": 1.4, "convert": 38.2, "parity": 21.0, "measure": 301.5,
            "score": 44.1, "store": 0.3, "report": 2.2}  # fmt: skip
    return RunInfo(
        run_id="20261122-090000-rio-3f2a", scenario="rio", profile="quick",
        started_at="2026-11-22T09:00:00+00:00", harness_version="0.1.0",
        harness_sha256="5d" * 32, git="0d2d71d (clean)", engine="docker", plan_sha256="c4" * 32,
        command="bench run scenarios/rio.yaml", dataset="rio-val",
        finished_at="2026-11-22T09:07:12+00:00", wall_s=wall, gates={"map50_95_drop": 0.01},
    )  # fmt: skip


def _result(maker: Maker, cell: Cell) -> CellResult:
    made = _measured(maker, cell)
    if (cell.format, cell.precision) == ("tflite", "int8"):
        return _invalid(made)
    if (cell.format, cell.precision, cell.device) == ("torchscript", "fp16", "local"):
        return _failed(made)
    if (cell.format, cell.precision, cell.device) == ("pytorch", "fp32", "jetson"):
        return _throttled(made)
    if (cell.format, cell.precision, cell.device) == ("onnx", "fp32", "jetson"):
        first, *rest = made.trials
        again = replace(first, voided=(example_devices.THROTTLED,)) if maker.rich else first
        return replace(made, trials=(again, *rest))
    if (cell.format, cell.precision) == ("onnx", "int8"):
        return _suspect(made)
    return made


def _throttled(made: CellResult) -> CellResult:
    why = f"trial 2: discarded 3 times; last reason: {example_devices.THROTTLED}"
    return replace(made, verdict="invalid", reasons=(why,))


def _invalid(made: CellResult) -> CellResult:
    why = (
        "accuracy: map50_95 0.087 is 89.29 % below the fp32 reference 0.812 (limit for int8: 2.0 %)"
    )
    return replace(made, verdict="invalid", reasons=(why,))


def _failed(made: CellResult) -> CellResult:
    hint = "Convert with precision fp32, or see cells/…/convert.log."
    failure = Failure(
        "convert", "RuntimeError: \"slow_conv2d_cpu\" not implemented for 'Half'", hint
    )
    return replace(
        made, status="failed", verdict=None, failure=failure, artifact=None, parity=None,
        trials=(), summary=None, scores=None,
    )  # fmt: skip


def _suspect(made: CellResult) -> CellResult:
    assert made.summary is not None
    flags = (
        "trials disagree by 12.1 % (limit 3.0 %); run more trials",
        "coefficient of variation 4.1 % (limit 2.5 %)",
    )
    return replace(made, verdict="suspect", summary=replace(made.summary, flags=flags))


def _measured(maker: Maker, cell: Cell) -> CellResult:
    middle = (
        _BASE_MS.get(cell.format, 30.0) * _FASTER[cell.precision] * _SLOWER.get(cell.device, 2.0)
    )
    middle *= cell.threads**-0.8
    trials = tuple(_trial(maker, cell, i, middle) for i in range(maker.trials))
    log = maker.folder / "cells" / cell.id / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"loading {cell.id}\n\x1b[32mwarm-up\x1b[0m 10 runs\nscore < 0.25 dropped\n")
    layers = example_devices.layers(log.parent, cell, middle) if maker.rich else None
    seconds = {
        "convert": 4.1,
        "parity": 2.0,
        "measure": sum(t.wall_s for t in trials),
        "score": 3.4,
    }
    return CellResult(
        run_id="20261122-090000-rio-3f2a", cell=cell, status="ok", verdict="valid", reasons=(),
        started_at="2026-11-22T09:01:00+00:00", finished_at="2026-11-22T09:02:00+00:00",
        image=Image(cell.format, "docker", "bench/x:3f2a", "sha256:" + "ab" * 32, True, 0.1),
        artifact=_artifact(cell), parity=_parity(cell.precision), trials=trials,
        summary=_summary(middle, maker.samples * maker.trials, maker.trials),
        scores=_scores(cell.precision),
        compute=_COMPUTE[cell.precision],
        emulated=cell.device.startswith("phone"), wall_s=seconds, placement=layers,
    )  # fmt: skip


def _artifact(cell: Cell) -> Artifact:
    size = int(6_230_000 * {"fp32": 1.0, "fp16": 0.505, "int8": 0.27}[cell.precision])
    size += 1000 * len(cell.format)
    return Artifact(f"cache/{cell.id}", "e1" * 32, size, "k" * 12, 4.1, False, "")


def _parity(precision: Precision) -> Parity:
    far = {"fp32": 2.1e-6, "fp16": 3.4e-3, "int8": 0.21}[precision]
    outputs = (OutputParity("boxes", far * 40, far / 4, 0.999999, 318.2),
               OutputParity("scores", far, far * 2, 0.999998, 0.97))  # fmt: skip
    return Parity(True, 16, outputs, 31, 31, 0, 0.987, far)


def _scores(precision: Precision) -> Scores:
    value = {"fp32": 0.8123, "fp16": 0.8121, "int8": 0.8064}[precision]
    values = {"map50_95": value, "map50": 0.951, "mask_map50_95": value - 0.021}
    return Scores("rio-val", 320, values)


def _summary(middle: float, n: int, trials: int) -> Summary:
    p50 = Interval(middle, middle * 0.991, middle * 1.012)
    return Summary(
        n=n, trials=trials, p50=p50, p90_ms=middle * 1.06, p95_ms=middle * 1.09,
        p99_ms=middle * 1.21 if n >= 662 else None, p999_ms=None, load_ms=88.0,
        first_ms=middle * 3.1, pre_ms=1.9, infer_ms=middle * 1.02, post_ms=3.3,
        e2e_ms=middle * 1.02 + 5.4, peak_rss_bytes=int(2.1e8 + 4e6 * middle),
    )  # fmt: skip


def _trial(maker: Maker, cell: Cell, index: int, middle: float) -> Trial:
    pattern = example_trials.pattern_of(cell) if maker.rich else "single"
    began_s = maker.clocks[cell.device]
    made = example_trials.samples(cell, pattern, index, middle, maker.samples, maker.rng)
    arrays = made.arrays(began_s)
    place = f"cells/{cell.id}/trial-{index}"
    (maker.folder / place).mkdir(parents=True, exist_ok=True)
    np.savez(str(maker.folder / place / "samples.npz"), allow_pickle=False, **arrays)
    spent = sum(int(arrays[name].sum()) for name in ("latency_ns", "warmup_ns", "e2e_ns")) / 1e9
    ended_s = began_s + made.seconds
    maker.clocks[cell.device] = ended_s + 8.0
    trial = Trial(
        index, place, load_ms=88.0, first_ms=middle * 3.1, import_ms=640.0, settled=index != 1,
        stopped_by="interval", peak_rss_bytes=int(2.1e8 + 4e6 * middle), os_threads=3,
        runtime_version="1.20.1", python_version="3.11.7", wall_s=float(spent) + 1.4,
        before=example_devices.state(cell.device, began_s),
        after=example_devices.state(cell.device, ended_s, load=1.03 + index / 10),
    )  # fmt: skip
    if not maker.rich:
        return trial
    example_devices.readings(maker.folder / place, cell.device, began_s - 3.0, ended_s + 1.0)
    return example_trials.told(trial, cell, pattern, made)


if __name__ == "__main__":
    from harness.report.build import build

    target = Path(sys.argv[1])
    page = build(example(target / "run"), target / "report", noise=example_devices.noise())
    sys.stdout.write(f"{page}\n")
