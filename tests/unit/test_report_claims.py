"""The sentences on top of the report: computed, and never a ranking that the data cannot carry."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness import metrics
from harness.metrics import coco_map
from harness.metrics.spec import MetricSpec, Value
from harness.records import (
    Artifact,
    Cell,
    CellResult,
    Interval,
    Precision,
    RunInfo,
    Scores,
    Summary,
)
from harness.report.claims import fastest, headline, overlap
from harness.report.data import Entry, State, axes
from harness.report.marks import heat, marks
from harness.report.matrixrows import _best_figures
from harness.report.paretochart import frontier, pareto_chart, x_range

MAP = coco_map.SPEC.headline
INFO = RunInfo("r", "rio", "quick", "", "0.1", "", "", "docker", "", "")


def entry(
    form: str,
    precision: Precision = "fp32",
    ms: tuple[float, float, float] = (17.6, 17.4, 17.9),
    score: float = 0.812,
    size: int = 6_200_000,
    state: State = "valid",
    emulated: bool = False,
) -> Entry:
    cell = Cell("rio", form, precision, "local")
    summary = Summary(
        1536, 3, Interval(*ms), None, None, None, None, 1, 1, None, None, None, None, 1
    )
    artifact = Artifact("", "", size, "", 0.0, False, "")
    result = CellResult(
        "r", cell, "ok", "valid", (), "", "",
        artifact=artifact, summary=summary, scores=Scores("rio-val", 320, {"map50_95": score}),
    )  # fmt: skip
    return Entry(cell, state, (), result, emulated)


REFERENCE = entry("pytorch", ms=(41.0, 40.6, 41.5))


def said(*entries: Entry, info: RunInfo = INFO) -> str:
    return " ".join(headline(entries, entries, axes([e.cell for e in entries]), info))


def test_the_fastest_valid_and_the_smallest_right_cell_are_named() -> None:
    small = entry("tflite", "int8", (24.0, 23.8, 24.3), 0.806, 1_610_000)
    wrong = entry("openvino", "int8", (30.0, 29.0, 31.0), 0.79, 1_000_000)
    assert said(REFERENCE, entry("onnx"), small, wrong) == (
        "On local: the fastest valid cell is onnx fp32 at 17.6 ms [17.4, 17.9]. "
        "Smallest within 0.01 mAP50–95 of the reference (pytorch fp32, 0.812) is tflite int8: "
        "1.61 MB, 0.806."
    )


def test_overlapping_intervals_are_never_ranked() -> None:
    rival = entry("openvino", ms=(17.8, 17.7, 18.1))
    told = said(REFERENCE, entry("onnx"), rival)
    assert "one of onnx fp32 at 17.6 ms [17.4, 17.9] and openvino fp32" in told
    assert "statistically tied" in told
    assert "the fastest valid cell is onnx" not in told


def test_many_ties_are_counted() -> None:
    told = said(*(entry(name) for name in "abcdef"))
    assert "statistically tied" in told
    assert "and 2 more" in told


def test_a_suspect_or_invalid_cell_is_never_the_fastest() -> None:
    quick = entry("onnx", "int8", (9.0, 8.9, 9.1), state="suspect")
    broken = entry("tflite", "int8", (5.0, 4.9, 5.1), score=0.0, size=1, state="invalid")
    told = said(REFERENCE, entry("onnx"), quick, broken)
    assert "the fastest valid cell is onnx fp32" in told
    assert "onnx int8 at 9.00 ms [8.90, 9.10] is lower, but suspect." in told
    assert "tflite" not in told


def test_nothing_valid_is_said() -> None:
    only = replace(REFERENCE, state="suspect")
    assert "no cell is valid; the fastest suspect one is pytorch fp32" in said(only)
    assert "no results" in said(Entry(REFERENCE.cell, "failed", ("x",)))


def test_an_emulated_device_is_not_compared() -> None:
    assert said(entry("onnx", emulated=True)) == (
        "On local: emulated, not representative of hardware; times are not compared."
    )
    assert fastest([entry("onnx", emulated=True)]).best is None
    assert heat([entry("onnx", emulated=True)]) is None


def test_without_a_scored_reference_nothing_is_called_right() -> None:
    assert "the fp32 reference was not scored" in said(entry("onnx"))


def test_the_scenarios_gate_is_the_limit() -> None:
    small = entry("tflite", "int8", score=0.80, size=1_000_000)
    told = said(REFERENCE, small, info=replace(INFO, gates={"map50_95_drop": 0.02}))
    assert "within 0.02 mAP50–95" in told
    assert "tflite int8: 1.00 MB" in told
    assert "is pytorch fp32" in said(REFERENCE, small)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> Value:
    """A metric of which less is better, and more than 1 is nothing unusual."""
    value = Value("cer", "CER", "lower", digits=1, unit="%", gates=("rise",), tolerance=0.5)
    metric: Any = SimpleNamespace(SPEC=MetricSpec("Text", (value,)))
    monkeypatch.setitem(metrics.REGISTRY, "text", metric)
    return value


def wrong(form: str, percent: float, ms: tuple[float, float, float], size: int = 9) -> Entry:
    made = entry(form, ms=ms, size=size * 1_000_000)
    assert made.result
    scores = Scores("lines", 320, {"cer": percent}, "text")
    return replace(made, result=replace(made.result, scores=scores))


def test_an_error_is_right_where_it_rose_by_little(errors: Value) -> None:
    reference = wrong("pytorch", 4.0, (41.0, 40.6, 41.5))
    near, far = wrong("onnx", 4.4, (17, 16, 18), 2), wrong("tflite", 6.0, (9, 8, 10), 1)
    assert said(reference, near, far).endswith(
        "Smallest within 0.5 CER of the reference (pytorch fp32, 4.0 %) is onnx fp32: "
        "2.00 MB, 4.4 %."
    )
    wide = replace(INFO, gates={"cer_rise": 3.0})
    assert "within 3 CER" in said(reference, near, far, info=wide)
    assert said(reference, near, far, info=wide).endswith("is tflite fp32: 1.00 MB, 6.0 %.")


def test_of_errors_the_lower_one_is_beaten_by_none(errors: Value) -> None:
    quick, slow = wrong("onnx", 6.0, (10, 9.9, 10.1)), wrong("tflite", 4.0, (20, 19, 21))
    worse = wrong("openvino", 7.0, (20, 19, 21))
    assert [e.cell.format for e in frontier([slow, worse, quick], errors)] == ["onnx", "tflite"]
    ordered = [quick, slow]
    chart = pareto_chart(ordered, ordered, axes([e.cell for e in ordered]), errors, "x")
    assert chart.figure["data"][0]["y"] == [6.0, 4.0]  # type: ignore[index]
    assert chart.figure["layout"]["yaxis"]["title"] == {"text": "CER, %"}  # type: ignore[index]


def test_of_errors_the_lowest_is_marked(errors: Value) -> None:
    found = [wrong("onnx", 6.0, (10, 9, 11)), wrong("tflite", 4.0, (20, 19, 21))]
    assert _best_figures(found)["cer"] == 4.0


def test_marks_of_the_best_and_of_ties() -> None:
    alone = marks([REFERENCE, entry("onnx")])
    assert alone.mark(entry("onnx").cell.id) == "best"
    assert alone.mark(REFERENCE.cell.id) == ""
    tied = marks([entry("onnx"), entry("openvino", ms=(17.7, 17.5, 18.0))])
    assert {tied.mark(entry(f).cell.id) for f in ("onnx", "openvino")} == {"tied"}


def test_touching_intervals_overlap() -> None:
    assert overlap(Interval(2, 1, 3), Interval(4, 3, 5))
    assert not overlap(Interval(2, 1, 2.9), Interval(4, 3, 5))


def test_heat_spans_the_column() -> None:
    scale = heat([entry("onnx", ms=(10, 10, 10)), entry("tflite", ms=(80, 80, 80))])
    assert scale is not None
    assert [scale.step(ms) for ms in (10, 28.3, 80)] == [0, 3, 6]
    near = heat([entry("onnx", ms=(10, 10, 10)), entry("tflite", ms=(10.2, 10, 11))])
    assert near is not None
    assert near.step(10.2) == 0, "a difference of 2 % has no colour"


def test_a_logarithmic_axis_begins_at_the_lowest_end_above_zero() -> None:
    wide = entry("onnx", ms=(10.0, -9.0, 38.0))
    found = x_range([wide, entry("tflite", ms=(100.0, 90.0, 110.0))], True)
    assert found["type"] == "log"
    assert found["range"] == [math.log10(38) - 0.1, math.log10(110) + 0.1]
    assert found["tickvals"] == [50.0, 100.0]


def beaten_by_none(*entries: Entry) -> list[str]:
    return [e.cell.format for e in frontier(entries, MAP)]


def test_a_cell_that_is_slower_and_no_more_accurate_is_beaten() -> None:
    quick = entry("onnx", ms=(10.0, 9.9, 10.1), score=0.81)
    slow = entry("tflite", ms=(20.0, 19.0, 21.0), score=0.79)
    better = entry("openvino", ms=(20.0, 19.0, 21.0), score=0.83)
    assert beaten_by_none(slow, quick, better) == ["onnx", "openvino"]


def test_cells_whose_intervals_overlap_do_not_beat_each_other() -> None:
    first = entry("onnx", ms=(10.0, 9.0, 10.6), score=0.81)
    second = entry("tflite", ms=(10.4, 10.2, 11.0), score=0.80)
    assert beaten_by_none(first, second) == ["onnx", "tflite"]
    chart = pareto_chart(
        [first, second], [first, second], axes([first.cell, second.cell]), MAP, "x"
    )
    line = chart.figure["data"][0]  # type: ignore[index]
    assert line["y"] == [0.81, 0.81]  # it never goes down


def test_digits_that_are_not_shown_win_nothing() -> None:
    quick = entry("onnx", ms=(10.0, 9.9, 10.1), score=0.8120)
    slow = entry("tflite", ms=(20.0, 19.0, 21.0), score=0.8121)
    assert beaten_by_none(quick, slow) == ["onnx"]


def test_a_suspect_cell_beats_none() -> None:
    doubtful = entry("onnx", ms=(10.0, 9.9, 10.1), score=0.9, state="suspect")
    assert beaten_by_none(doubtful, entry("tflite")) == ["tflite"]
