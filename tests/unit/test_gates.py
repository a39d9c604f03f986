"""Gates: which cells break one, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from records_for_tests import ok_result, write_run

from harness.analysis.verdict import broken_gates, exit_code
from harness.records import CellResult
from harness.store import read_run


def broken(folder: Path, gates: dict[str, float], result: CellResult) -> list[str]:
    write_run(folder / "r")
    return broken_gates(replace(read_run(folder / "r"), results=(result,)), gates)


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({"p50_ms": 17.0}, "p50_ms: 17.6 ms, above 17 ms (95 % CI)"),
        ({"p50_ms": 17.6}, ""),  # the interval reaches below it
        ({"size_mb": 4.8}, "size_mb: 4.9 MB > 4.8 MB"),
        ({"size_mb": 5.0}, ""),
        ({"map50_95_drop": 0.001}, "map50_95_drop: 0.0082 > 0.001"),
        ({"map50_95_drop": 0.01}, ""),
        ({"map50_95_min": 0.82}, "map50_95_min: 0.8100 < 0.82"),
        ({"map50_95_min": 0.81}, ""),
        ({"mask_map50_95_drop": 0.01}, "mask_map50_95_drop: 0.0200 > 0.01"),
        ({"top1_drop": 0.01}, ""),  # its metric has no such value: it is of another model's
    ],
)
def test_a_limit_is_kept_or_broken(tmp_path: Path, gates: dict[str, float], said: str) -> None:
    parity = ok_result().parity
    assert parity is not None
    known = {"map50_95": 0.8182, "mask_map50_95": 0.82}
    result = replace(ok_result(), parity=replace(parity, reference_metrics=known))
    lines = broken(tmp_path, gates, result)
    assert lines == ([f"rio-onnx-fp32-local-t1-b1: {said}"] if said else [])


@pytest.mark.parametrize("limit", [1.0, 100.0])
def test_a_latency_that_is_not_to_be_believed_keeps_no_limit(tmp_path: Path, limit: float) -> None:
    said = broken(tmp_path, {"p50_ms": limit}, replace(ok_result(), verdict="invalid"))
    assert said == [f"rio-onnx-fp32-local-t1-b1: p50_ms: invalid latency (limit {limit:g} ms)"]


def test_a_run_that_kept_the_ratio_alone_has_a_reference_of_its_first_value(tmp_path: Path) -> None:
    parity = ok_result().parity
    assert parity is not None
    older = replace(ok_result(), parity=replace(parity, metric_ratio=0.99))
    said = broken(tmp_path, {"map50_95_drop": 0.001, "mask_map50_95_drop": 0.001}, older)
    assert [line.partition(": ")[2] for line in said] == [
        "map50_95_drop: 0.0082 > 0.001",
        "mask_map50_95_drop: no score of the fp32 reference",
    ]


def test_a_broken_gate_is_exit_code_1(tmp_path: Path) -> None:
    write_run(tmp_path / "r")
    run = replace(read_run(tmp_path / "r"), results=(ok_result(),))
    assert exit_code(run) == 0
    assert exit_code(replace(run, info=replace(run.info, broken_gates=("x",)))) == 1


def test_a_number_that_is_not_to_be_believed_is_exit_code_1(tmp_path: Path) -> None:
    write_run(tmp_path / "r")
    void = replace(ok_result(), verdict="invalid", reasons=("trial 1: throttled",))
    assert exit_code(replace(read_run(tmp_path / "r"), results=(void,))) == 1
    doubted = replace(ok_result(), verdict="suspect")
    assert exit_code(replace(read_run(tmp_path / "r"), results=(doubted,))) == 0


def test_a_suspect_median_over_its_limit_breaks_it(tmp_path: Path) -> None:
    suspect = replace(ok_result(), verdict="suspect")
    assert broken(tmp_path, {"p50_ms": 17.6}, suspect) == [
        "rio-onnx-fp32-local-t1-b1: p50_ms: 17.6 ms > 17.6 ms (suspect)"
    ]


def test_an_accuracy_that_is_not_known_keeps_no_limit(tmp_path: Path) -> None:
    unscored = replace(ok_result(), scores=None)
    said = broken(tmp_path / "a", {"map50_95_drop": 0.5}, unscored)
    assert said[0].endswith(": no mAP50–95")
    alone = replace(ok_result(), parity=None)
    said = broken(tmp_path / "b", {"map50_95_drop": 0.5}, alone)
    assert said[0].endswith("no score of the fp32 reference")
