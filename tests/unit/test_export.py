"""The export's columns are for good; unknown is empty, never 0."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest
from records_for_tests import write_run

from harness import export
from harness.records import Failure
from harness.store import Run, read_run

DESIGNED = (
    "run_id, cell_id, model, format, precision, device, threads, batch, status, verdict, reason, p50_ms, "
    "p50_low_ms, p50_high_ms, p90_ms, p99_ms, n, load_ms, first_ms, pre_ms, infer_ms, post_ms, e2e_ms, "
    "size_bytes, peak_rss_bytes, map50_95, map50, mask_map50_95, top1, parity_max_abs, parity_ok, engine, "
    "image_digest, runtime_version, artifact_sha256, started_at"
).split(", ")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return read_run(write_run(tmp_path / "r1").folder)


def test_the_first_columns_are_the_designed_ones_in_order() -> None:
    assert list(export.columns()[: len(DESIGNED)]) == DESIGNED


def test_csv_has_a_row_a_cell_and_empty_for_unknown(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(export.as_csv(run).decode())))
    assert [row["status"] for row in rows] == ["ok", "failed", "skipped"]
    assert (rows[0]["p50_ms"], rows[0]["p99_ms"], rows[0]["parity_ok"]) == ("17.64", "", "true")
    assert (rows[1]["p50_ms"], rows[2]["verdict"], rows[2]["reason"]) == ("", "", "no int8")


def test_json_is_the_same_with_types(run: Run) -> None:
    rows = json.loads(export.as_json(run))
    assert list(rows[0]) == list(export.columns())
    assert rows[0]["n"] == 192
    assert rows[0]["parity_ok"] is True
    assert rows[1]["size_bytes"] is None


def test_parquet_reads_back_with_types(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(export.as_parquet(run))
    with duckdb.connect() as database:
        relation = database.sql(f"SELECT cell_id, p50_ms, n, parity_ok FROM '{path}'")
        assert [str(kind) for kind in relation.types] == ["VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN"]
        assert relation.fetchall()[0] == ("rio-onnx-fp32-local-t1-b1", 17.64, 192, True)


def test_markdown_escapes_what_would_break_the_table(run: Run) -> None:
    lines = export.as_markdown(run).decode().splitlines()
    assert (
        lines[2]
        == "| rio | onnx | fp32 | local | 1 | 1 | 17.6 [17.5, 17.8] | 192 | mAP50–95 0.8100 | 4.90 | valid |"
    )
    assert r"failed: boxes &lt;differ> \| much" in lines[3]


def test_junit_counts_failures_and_skips(run: Run) -> None:
    suite = ElementTree.fromstring(export.as_junit(run))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert suite.find("testcase/failure").get("message") == "boxes <differ> | much"  # type: ignore[union-attr]


def test_an_invalid_number_is_in_no_column_and_fails_its_test_case(run: Run) -> None:
    void = replace(run.results[0], verdict="invalid", reasons=("trial 1: throttled",))
    invalid = replace(run, results=(void,))
    row = export.rows(invalid)[0]
    times = [name for name in row if name.endswith("_ms")]
    assert len(times) == 11
    assert {row[name] for name in times} == {None}
    assert (row["n"], row["verdict"], row["reason"]) == (192, "invalid", "trial 1: throttled")
    suite = ElementTree.fromstring(export.as_junit(invalid))
    assert suite.get("failures") == "1"
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "invalid: trial 1: throttled"


def test_an_emulated_time_is_not_pasted_as_a_device_s(run: Run) -> None:
    emulated = replace(run, results=(replace(run.results[0], emulated=True),))
    assert "| emulated: not representative |" in export.as_markdown(emulated).decode()


def test_a_planned_cell_without_a_result_is_an_error_of_junit(run: Run) -> None:
    cut = replace(run, results=())
    suite = ElementTree.fromstring(export.as_junit(cut))
    assert suite.get("errors") == suite.get("tests") == str(len(run.plan.cells))
    assert suite.get("errors") != "0"


def test_junit_is_well_formed_whatever_a_job_printed(run: Run) -> None:
    said = "\x1b[0;93m2026 [W:onnxruntime]\x1b[m bad\x00 value \ud800 \x0b<&>"
    failure = Failure("convert", said, said)
    results = [
        replace(r, failure=failure) if r.status == "failed" else replace(r, reasons=(said,))
        for r in run.results
    ]
    text = export.as_junit(replace(run, results=tuple(results)))
    suite = ElementTree.fromstring(text)
    (failed,) = suite.iter("failure")
    assert failed.get("message") == failed.text == "2026 [W:onnxruntime] bad value  <&>"


def test_reasons_and_gates_of_junit_hold_nothing_that_xml_does_not_allow(run: Run) -> None:
    said = "\x1b[31mtoo hot\x1b[0m \x00\ud800"
    results = tuple(replace(r, verdict="invalid", reasons=(said,)) for r in run.results)
    text = export.as_junit(
        replace(
            run,
            info=replace(run.info, broken_gates=(f"{run.results[0].cell.id}: {said}",)),
            results=tuple(replace(r, status="ok", failure=None) for r in results),
        )
    )
    messages = {failed.get("message") for failed in ElementTree.fromstring(text).iter("failure")}
    assert messages == {"invalid: too hot "}


@pytest.mark.parametrize("name", export.FORMATS)
def test_no_format_breaks_on_half_a_character(run: Run, name: str) -> None:
    said = "\x1b[31mno file \udcff.yaml\x1b[0m"
    failure = Failure("convert", said, said)
    results = tuple(replace(r, reasons=(said,), failure=failure) for r in run.results)
    data = export.FORMATS[name](replace(run, results=results))
    assert b"[31m" not in data
    if name != "parquet":
        assert "no file .yaml" in data.decode()
