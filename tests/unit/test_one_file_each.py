"""One more thing is one file: a made-up one of each is registered, and nothing else is changed."""

from __future__ import annotations

import csv
import io
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from records_for_tests import ok_result, write_run

from harness import export, formats, kinds, metrics, runtimes, transports
from harness.analysis.verdict import broken_gates
from harness.errors import ConfigError
from harness.kinds import KindSpec
from harness.metrics import Value
from harness.records import CellResult, DeviceFacts, FormatSpec, Parity
from harness.report import build as reports
from harness.report import pages
from harness.report.page import Maker, Page
from harness.runner import patterns
from harness.scenario import config, plan
from harness.steps.parity import check_metrics
from harness.store import Run, read_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_run(tmp_path / "runs/r1")
    return read_run(tmp_path / "runs/r1")


def scenario(folder: Path, text: str) -> config.Scenario:
    path = folder / "s.yaml"
    path.write_text(f"name: s\nmodels: [m]\nformats: [onnx]\n{text}")
    return config.read_scenario(path)


# ---- a metric: lower is better, with a gate -----------------------------------------------------


@pytest.fixture
def error_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = types.ModuleType("pixel_error")
    made.VALUES = (Value("pixel_error", "Pixel error", higher_is_better=False, gate="error_rise"),)
    made.score = lambda predictions, truth, classes: {"pixel_error": 2.0}
    monkeypatch.setitem(metrics.REGISTRY, "pixel-error", made)  # type: ignore[misc]
    monkeypatch.setitem(metrics.FOR_TASK, "detection", "pixel-error")  # type: ignore[misc]


def scored(value: float, reference: float) -> CellResult:
    result = ok_result()
    assert result.scores
    assert result.parity
    parity: Parity = replace(
        result.parity,
        metric_ratio=value / reference,
        reference_metrics={"pixel_error": reference},
    )
    scores = replace(result.scores, values={"pixel_error": value})
    return replace(result, scores=scores, parity=parity)


@pytest.mark.usefixtures("error_metric")
def test_a_metric_is_planned_held_gated_exported_and_drawn(run: Run, tmp_path: Path) -> None:
    assert scenario(tmp_path, "gates: {error_rise: 0.5}\n").file.gates == {"error_rise": 0.5}
    with pytest.raises(ConfigError) as caught:
        scenario(tmp_path, "gates: {error_ris: 0.5}\n")
    assert caught.value.mistakes == [
        f"{tmp_path}/s.yaml:4: gates.error_ris: unknown key; did you mean 'error_rise'?"
    ]
    assert "error_rise" in config.schema()["properties"]["gates"]["properties"]
    ratio, reasons = check_metrics("fp16", {"pixel_error": 2.2}, {"pixel_error": 2.0})
    assert ratio == pytest.approx(1.1)
    assert reasons == [
        "pixel_error metric 2.2 is 10.00% over the fp32 reference's 2; fp16 may lose 1.0%"
    ]
    assert check_metrics("fp16", {"pixel_error": 1.0}, {"pixel_error": 2.0})[1] == []
    made = replace(run, results=(scored(3.0, 2.0),))
    assert broken_gates(made, {"error_rise": 0.5}) == [
        "rio-onnx-fp32-local-t1-b1: error_rise: 1.0000 > 0.5"
    ]
    assert broken_gates(made, {"error_rise": 1.5}) == []
    (row,) = csv.DictReader(io.StringIO(export.as_csv(made).decode()))
    assert row["pixel_error"] == "3.0"
    assert list(row)[-1] == "pixel_error"
    assert "Pixel error 3.000" in export.as_markdown(made).decode()
    index = reports.build(made, tmp_path / "report").read_text()
    assert "Pixel error" in index


# ---- an arrival pattern -------------------------------------------------------------------------


def test_a_pattern_is_run_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def every_third(engine: Any, inputs: Any, rules: Any) -> str:
        return "timed"

    monkeypatch.setitem(patterns.REGISTRY, "every-third", lambda: every_third)  # type: ignore[misc]
    run_it: Callable[..., Any] = patterns.find("every-third")
    assert run_it(None, (), None) == "timed"


# ---- a page -----------------------------------------------------------------------------


def test_a_page_is_made_and_linked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(report: Any) -> Any:
        yield Page("moon.html", "Moon phases", "bug.html", "waxing")

    monkeypatch.setitem(pages.REGISTRY, "moon", Maker("Moon phases", "moon.html", make))  # type: ignore[misc]
    index = reports.build(run, tmp_path / "report")
    assert '<a href="moon.html"' in index.read_text()
    assert "waxing" in (tmp_path / "report/moon.html").read_text()


def test_a_page_that_meets_a_bug_ends_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(report: Any) -> Any:
        raise ZeroDivisionError("moon")
        yield

    monkeypatch.setitem(pages.REGISTRY, "moon", Maker("Moon phases", "moon.html", make))  # type: ignore[misc]
    index = reports.build(run, tmp_path / "report")
    assert "rio" in index.read_text()
    assert "bug: ZeroDivisionError: moon" in (tmp_path / "report/moon.html").read_text()
    text = (tmp_path / "report" / reports.BUGS).read_text()
    assert "unexpected ZeroDivisionError in page moon of r1" in text
    monkeypatch.delitem(pages.REGISTRY, "moon")  # type: ignore[misc]
    reports.build(run, tmp_path / "report")
    assert not (tmp_path / "report" / reports.BUGS).exists()


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


def test_junit_names_the_gate_of_a_made_up_metric(run: Run) -> None:
    info = replace(run.info, broken_gates=("rio-onnx-fp32-local-t1-b1: error_rise: 1 > 0.5",))
    suite = ElementTree.fromstring(export.as_junit(replace(run, info=info)))
    assert any("error_rise" in (f.get("message") or "") for f in suite.iter("failure"))
