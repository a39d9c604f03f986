"""A run's events as recorded: images, conversions, two devices side by side, a lost phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from records_for_tests import failed_result, ok_result

from harness.records import Cell, CellResult, DeviceSpec

ONNX = Cell("rio", "onnx", "fp32", "local")
TFLITE = Cell("rio", "tflite", "fp32", "local")
PHONE = Cell("rio", "onnx", "fp32", "phone")
CELLS = (ONNX, TFLITE, PHONE)
MODELS: Any = {"rio": SimpleNamespace(spec=SimpleNamespace(source="pytorch"))}
DEVICES = {
    "local": DeviceSpec("local", "linux", "local"),
    "phone": DeviceSpec("phone", "android", "adb"),
}

Event = tuple[float, str, dict[str, Any]]


def task(at: float, step: str, name: str) -> Event:
    return at, "task", {"step": step, "task": name}


def task_end(at: float, step: str, name: str, seconds: float, n: int, outcome: str = "ok") -> Event:
    values = {"step": step, "task": name, "seconds": seconds, "outcome": outcome}
    return at, "task_end", {**values, "n": n, "of": 6}


def step(at: float, cell: Cell, name: str) -> Event:
    return at, "step", {"cell": cell.id, "step": name}


def step_end(at: float, cell: Cell, name: str, seconds: float) -> Event:
    return at, "step_end", {"cell": cell.id, "step": name, "seconds": seconds}


def trial(at: float, cell: Cell, index: int, position: int, total: int, next: str = "") -> Event:
    place = {"position": position, "total": total, "next": next}
    return at, "trial", {"cell": cell.id, "index": index, "of": 2, **place}


def trial_end(
    at: float, cell: Cell, index: int, seconds: float, position: int, total: int
) -> Event:
    place = {"position": position, "total": total, "next": ""}
    return at, "trial_end", {"cell": cell.id, "index": index, "seconds": seconds, **place}


def done(at: float, result: CellResult) -> Event:
    return at, "cell", {"cell": result.cell.id, "status": result.status, "result": result}


PREPARATION: tuple[Event, ...] = (
    task(0, "images", "image pytorch"),
    task(0, "images", "image onnx"),
    (75, "log", {"line": "Collecting onnxruntime==1.31.1\n"}),
    task_end(100, "images", "image onnx", 100.0, 1),
    task(100, "convert", "convert rio to onnx fp32"),
    task_end(130, "convert", "convert rio to onnx fp32", 30.0, 2),
    task_end(200, "images", "image pytorch", 200.0, 3),
    task(200, "parity", "reference of rio"),
    task_end(230, "parity", "reference of rio", 30.0, 4),
    task(230, "images", "image tflite"),
    task_end(290, "images", "image tflite", 60.0, 5, "failed"),
    done(290, replace(failed_result(), cell=TFLITE, reasons=("no index answers",))),
    task(290, "parity", "check rio as onnx fp32"),
    task_end(310, "parity", "check rio as onnx fp32", 20.0, 6),
)
MEASUREMENT: tuple[Event, ...] = (
    step(310, PHONE, "deploy"),
    step_end(340, PHONE, "deploy", 30.0),
    step(340, PHONE, "parity"),
    step_end(350, PHONE, "parity", 10.0),
    trial(350, PHONE, 0, 0, 2, PHONE.id),
    (352, "wait", {"device": "phone", "reason": "waiting to cool: cpu at 51 °C, limit 38 °C"}),
    (357, "wait", {"device": "phone", "reason": "waiting to cool: cpu at 50 °C, limit 38 °C"}),
    (380, "lost", {"device": "phone", "cell": PHONE.id, "reason": "no answer for 20 s"}),
    trial_end(400, PHONE, 0, 50.0, 0, 2),
    (400, "report", {"page": "reports/r1/index.html"}),
    trial(400, PHONE, 1, 1, 2),
    done(410, replace(ok_result(), cell=PHONE)),
    trial_end(410, PHONE, 1, 10.0, 1, 2),
    step(410, ONNX, "parity"),
    step_end(410, ONNX, "parity", 0.04),
    trial(411, ONNX, 0, 0, 2, ONNX.id),
    trial_end(416, ONNX, 0, 5.0, 0, 2),
    trial(416, ONNX, 1, 1, 2),
    done(421, replace(ok_result(), cell=ONNX)),
    trial_end(421, ONNX, 1, 5.0, 1, 2),
)


class Clock:
    """Stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def played(clock: Clock, events: tuple[Event, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each event at its time."""
    for at, name, values in events:
        clock.now = at
        yield name, values
