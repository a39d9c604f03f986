"""Small whole records for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.records import (
    Artifact,
    Cell,
    CellResult,
    DeviceState,
    Failure,
    Image,
    Interval,
    OutputParity,
    Parity,
    Plan,
    RunInfo,
    Scores,
    Skipped,
    Summary,
    Trial,
)
from harness.store import RunFolder

STATE = DeviceState("2026-01-01T00:00:00Z", cores=2)
OK = Cell("rio", "onnx", "fp32", "local")
FAILED = Cell("rio", "onnx", "int8", "local")
SKIPPED = Cell("rio", "openvino", "int8", "local")


def trial(index: int = 0) -> Trial:
    return Trial(
        index=index, folder=f"cells/{OK.id}/trial-{index}", load_ms=50.0, first_ms=20.0, import_ms=100.0,
        settled=True, stopped_by="interval", peak_rss_bytes=10**8, os_threads=3, runtime_version="1.31.1",
        python_version="3.11.2", wall_s=4.0, before=STATE, after=STATE, affinity=(1,),
    )  # fmt: skip


def ok_result() -> CellResult:
    return CellResult(
        run_id="r1", cell=OK, status="ok", verdict="valid", reasons=(), started_at="s", finished_at="f",
        image=Image("onnx", "docker", "bench/onnx:1", "sha256:aa", True, 0.0),
        artifact=Artifact("/c/model.onnx", "ab" * 32, 4_900_000, "k", 12.0, False, "/c/log.txt"),
        parity=Parity(True, 16, (OutputParity("boxes", 6e-5, 1e-6, 1.0, 320.0),), 40, 40, 0, 0.99, 1e-6),
        trials=(trial(),),
        summary=Summary(
            n=192, trials=3, p50=Interval(17.64, 17.51, 17.78), p90_ms=18.0, p95_ms=18.2, p99_ms=None,
            p999_ms=None, load_ms=50.0, first_ms=20.0, pre_ms=1.0, infer_ms=17.7, post_ms=2.0, e2e_ms=20.7,
            peak_rss_bytes=10**8,
        ),
        scores=Scores(
            "rio-val", 320, {"map50_95": 0.81, "map50": 0.95, "mask_map50_95": 0.8}, "coco-map"
        ),
    )  # fmt: skip


def failed_result() -> CellResult:
    return CellResult(
        run_id="r1", cell=FAILED, status="failed", verdict="invalid", reasons=("boxes <differ> | much",),
        started_at="s", finished_at="f", failure=Failure("parity", "boxes <differ> | much", "look"),
    )  # fmt: skip


def skipped_result() -> CellResult:
    return CellResult(
        run_id="r1", cell=SKIPPED, status="skipped", verdict=None, reasons=("no int8",),
        started_at="s", finished_at="f", failure=Failure("plan", "no int8"),
    )  # fmt: skip


def write_run(folder: Path) -> RunFolder:
    """A run folder with one cell of each status and its samples."""
    plan = Plan((OK, FAILED), (Skipped(SKIPPED, "no int8"),))
    info = RunInfo("r1", "rio", "quick", "s", "0.1.0", "00", "abc", "docker", "pp", "bench run x")
    run = RunFolder.create(folder, info, plan, "name: rio\n")
    where = folder / trial().folder
    where.mkdir(parents=True)
    np.savez(where / "samples.npz", latency_ns=np.arange(1, 193) * 10**5, start_ns=np.arange(192))
    for result in (skipped_result(), failed_result(), ok_result()):
        run.add(result)
    return run
