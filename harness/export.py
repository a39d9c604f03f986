"""A run as one row per cell: the stable interface for other programs.

Columns never change name or order; new ones are appended, followed by the values of other
metrics. Unknown values are empty, never 0.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from . import metrics
from .printable import printable
from .records import CellResult, Scalar
from .store import Run

COLUMNS: Final = (
    "run_id", "cell_id", "model", "format", "precision", "device", "threads", "batch",
    "status", "verdict", "reason",
    "p50_ms", "p50_low_ms", "p50_high_ms", "p90_ms", "p99_ms", "n",
    "load_ms", "first_ms", "pre_ms", "infer_ms", "post_ms", "e2e_ms",
    "size_bytes", "peak_rss_bytes", "map50_95", "map50", "mask_map50_95", "top1",
    "parity_max_abs", "parity_ok",
    "engine", "image_digest", "runtime_version", "artifact_sha256", "started_at",
    "mask_map50", "trials", "compute", "emulated", "step", "hint", "confinement", "route",
)  # fmt: skip

#: first characters of a text that a spreadsheet would evaluate; the last four are full-width
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
TYPES: Final = {
    **dict.fromkeys(("threads", "batch", "n", "size_bytes", "peak_rss_bytes", "trials"), "BIGINT"),
    **dict.fromkeys(("parity_ok", "emulated"), "BOOLEAN"),
    **dict.fromkeys((c for c in COLUMNS if c.endswith("_ms")), "DOUBLE"),
    "parity_max_abs": "DOUBLE",
}


def columns() -> tuple[str, ...]:
    """COLUMNS, and a column for every other metric value."""
    return (*COLUMNS, *(name for name in metrics.values() if name not in COLUMNS))


def rows(run: Run) -> list[dict[str, Scalar]]:
    """One dict per cell with exactly `columns()` as keys; None means unknown."""
    names = columns()
    found = ({**dict.fromkeys(names), **_row(run, result)} for result in run.results)
    return [{key: _readable(value) for key, value in row.items()} for row in found]


def _readable(value: Scalar) -> Scalar:
    return printable(value) if isinstance(value, str) else value


def _row(run: Run, result: CellResult) -> dict[str, Scalar]:
    cell, failure = result.cell, result.failure
    values: dict[str, Scalar] = {
        "run_id": result.run_id,
        "cell_id": cell.id,
        "model": cell.model,
        "format": cell.format,
        "precision": cell.precision,
        "device": cell.device,
        "threads": cell.threads,
        "batch": cell.batch,
        "status": result.status,
        "verdict": result.verdict,
        "reason": "; ".join(result.reasons) or None,
        "engine": result.image.engine if result.image else run.info.engine,
        "started_at": result.started_at,
        "compute": result.compute or None,
        "route": result.route or None,
        "emulated": result.emulated,
        "step": failure.step if failure else None,
        "hint": (failure.hint or None) if failure else None,
    }
    return {**values, **_made(result), **_measured(result)}


def _made(result: CellResult) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if result.image:
        values["image_digest"] = result.image.digest
        values["confinement"] = result.image.confinement or None
    if result.artifact:
        values["size_bytes"] = result.artifact.size_bytes
        values["artifact_sha256"] = result.artifact.sha256
    if result.parity:
        values["parity_ok"] = result.parity.ok
        values["parity_max_abs"] = max((o.max_abs for o in result.parity.outputs), default=None)
    if result.scores:
        known = metrics.values()
        values.update({k: v for k, v in result.scores.values.items() if k in known})
    return values


def _measured(result: CellResult) -> dict[str, Scalar]:
    """Invalid cells have no latency: programs would use it as a result."""
    summary = result.summary
    if summary is None:
        return {}
    counts: dict[str, Scalar] = {
        "n": summary.n,
        "trials": summary.trials,
        "runtime_version": result.trials[0].runtime_version if result.trials else None,
    }
    if result.verdict == "invalid":
        return counts
    return {
        **counts,
        "p50_ms": summary.p50.value,
        "p50_low_ms": summary.p50.low,
        "p50_high_ms": summary.p50.high,
        "p90_ms": summary.p90_ms,
        "p99_ms": summary.p99_ms,
        "load_ms": summary.load_ms,
        "first_ms": summary.first_ms,
        "pre_ms": summary.pre_ms,
        "infer_ms": summary.infer_ms,
        "post_ms": summary.post_ms,
        "e2e_ms": summary.e2e_ms,
        "peak_rss_bytes": summary.peak_rss_bytes,
    }


def as_json(run: Run) -> bytes:
    """A list of objects."""
    return json.dumps(rows(run), indent=1, ensure_ascii=False).encode() + b"\n"


def as_csv(run: Run) -> bytes:
    """RFC 4180 with a header; booleans are true and false, and no text is a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _cell_text(v) for k, v in row.items()} for row in rows(run))
    return text.getvalue().encode()


def as_parquet(run: Run) -> bytes:
    """Typed columns, written by DuckDB."""
    import duckdb

    names, types = columns(), {**dict.fromkeys(metrics.values(), "DOUBLE"), **TYPES}
    typed = ", ".join(f'"{name}" {types.get(name, "VARCHAR")}' for name in names)
    marks = ", ".join("?" * len(names))
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        path = Path(folder) / "run.parquet"
        database.execute(f"CREATE TABLE cells ({typed})")
        values = [list(row.values()) for row in rows(run)]
        if values:
            database.executemany(f"INSERT INTO cells VALUES ({marks})", values)
        database.table("cells").write_parquet(str(path))
        data: bytes = path.read_bytes()
        return data


def accuracy(row: Mapping[str, Scalar]) -> str:
    """The row's headline metric: `mAP50–95 0.8100`; empty if nothing was scored."""
    value = metrics.headline(row)
    return f"{value.title} {value.text(float(row[value.name] or 0), more=1)}" if value else ""


def as_markdown(run: Run) -> bytes:
    """A table to paste into an issue: one row per cell, missing results with their reason."""
    names = ("model", "format", "precision", "device", "threads", "batch")
    head = (*names, "median [95 %] ms", "n", "accuracy", "MB", "verdict")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows(run):
        cells = [*(row[name] for name in names), latency(row), row["n"]]
        cells += [accuracy(row), _megabytes(row["size_bytes"]), _judged(row)]
        lines.append("| " + " | ".join(_markdown_text(c) for c in cells) + " |")
    return ("\n".join(lines) + "\n").encode()


def as_junit(run: Run) -> bytes:
    """One test case per cell: failed and invalid cells and failed gates are failures."""
    suite = ElementTree.Element("testsuite", name=f"bench {run.info.scenario}")
    gates = {line.split(":", 1)[0]: line for line in run.info.broken_gates}
    counts = {"tests": len(run.results), "failures": 0, "errors": 0, "skipped": 0}
    for result in run.results:
        seconds = f"{sum(result.wall_s.values()):.3f}"
        case = ElementTree.SubElement(
            suite, "testcase", classname=run.info.scenario, name=result.cell.id, time=seconds
        )
        if result.status == "skipped":
            ElementTree.SubElement(case, "skipped", message="; ".join(result.reasons))
            counts["skipped"] += 1
        elif result.failure:
            failure = ElementTree.SubElement(case, "failure", message=result.failure.reason)
            failure.set("type", result.failure.step)
            failure.text = result.failure.hint
            counts["failures"] += 1
        elif result.verdict == "invalid":
            why = "; ".join(result.reasons) or "no reason recorded"
            ElementTree.SubElement(case, "failure", message=f"invalid: {why}", type="measure")
            counts["failures"] += 1
        elif result.cell.id in gates:
            ElementTree.SubElement(case, "failure", message=gates[result.cell.id], type="gate")
            counts["failures"] += 1
    there = {result.cell.id for result in run.results}
    for cell in (c for c in run.plan.cells if c.id not in there):
        case = ElementTree.SubElement(suite, "testcase", classname=run.info.scenario, name=cell.id)
        ElementTree.SubElement(case, "error", message="the run stopped before this cell")
        counts["tests"], counts["errors"] = counts["tests"] + 1, counts["errors"] + 1
    for name, count in counts.items():
        suite.set(name, str(count))
    for element in suite.iter():
        element.text = printable(element.text or "") or None
        element.attrib.update({key: printable(value) for key, value in element.items()})
    text: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


FORMATS: Final[dict[str, Callable[[Run], bytes]]] = {
    "csv": as_csv,
    "json": as_json,
    "parquet": as_parquet,
    "markdown": as_markdown,
    "junit": as_junit,
}


def latency(row: dict[str, Scalar]) -> str:
    """`12.4 [12.3, 12.6]`; empty if there is no valid latency."""
    if row["p50_ms"] is None:
        return ""
    if row["emulated"]:
        return "emulated: not representative"
    return f"{figure(row['p50_ms'])} [{figure(row['p50_low_ms'])}, {figure(row['p50_high_ms'])}]"


def figure(value: Scalar, digits: int = 3) -> str:
    """Three significant figures with trailing zeros; empty for None."""
    return "" if value is None else f"{float(value):#.{digits}g}".rstrip(".")


def _megabytes(value: Scalar) -> str:
    return "" if value is None else figure(float(value) / 1e6)


def _judged(row: dict[str, Scalar]) -> str:
    word = row["verdict"] if row["status"] == "ok" else row["status"]
    return f"{word}: {row['reason']}" if row["reason"] else str(word)


def _markdown_text(value: Scalar) -> str:
    return (
        ""
        if value is None
        else " ".join(str(value).replace("\\", "\\\\").split())
        .replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("](", "]\\(")
    )


def _cell_text(value: Scalar) -> Scalar:
    """Text that a spreadsheet would evaluate as a formula gets an apostrophe."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return str(value).lower() if isinstance(value, bool) else value
