"""Writes the generated pages of docs/reference/: commands, files and export columns.

`PYTHONPATH=tests python -m tools.make_docs`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command
from typer.testing import CliRunner

from harness import export, metrics
from harness.cli import app
from harness.scenario.config import DeviceFile, ModelFile, scenario_type
from tools.package_graph import PACKAGE

OUT = PACKAGE.parent / "docs" / "reference"
MADE = "<!-- made by `make generated` -->\n"
MEANINGS = {
    "run_id": "the run's folder in `runs/`",
    "cell_id": "`<model>-<format>-<precision>-<device>-t<threads>-b<batch>`",
    "model": "folder of `models/`",
    "format": "format that the model was converted to",
    "precision": "`fp32`, `fp16` or `int8`",
    "device": "file of `devices/`",
    "threads": "threads of the runtime",
    "batch": "batch size",
    "status": "`ok`, `failed` or `skipped`",
    "verdict": "`valid`, `suspect` or `invalid`; empty if not measured",
    "reason": "why the cell failed, was skipped, or is suspect or invalid",
    "p50_ms": "median latency",
    "p50_low_ms": "lower end of its 95 % confidence interval",
    "p50_high_ms": "upper end of its 95 % confidence interval",
    "p90_ms": "90th percentile, from 64 samples up",
    "p99_ms": "99th percentile, from 662 samples up",
    "n": "number of samples in all trials",
    "load_ms": "time to load the model",
    "first_ms": "time of the first inference",
    "pre_ms": "preprocessing",
    "infer_ms": "inference, including input and output copies",
    "post_ms": "postprocessing: decode, NMS, masks",
    "e2e_ms": "all three stages, end to end",
    "size_bytes": "size of the converted model",
    "peak_rss_bytes": "peak resident memory of the whole process",
    "map50_95": "box mAP over IoU 0.50 to 0.95",
    "map50": "box mAP at IoU 0.50",
    "mask_map50_95": "mask mAP over IoU 0.50 to 0.95",
    "mask_map50": "mask mAP at IoU 0.50",
    "top1": "top-1 accuracy",
    "parity_max_abs": "largest absolute difference from the fp32 reference's outputs",
    "parity_ok": "whether the parity check passed",
    "engine": "engine that the cell ran in: `docker`, `venv`, or the device's runtime",
    "confinement": "what isolated its jobs from the rest of the machine: `docker`, `bubblewrap` or `none`",
    "image_digest": "digest of the image, bundle or environment",
    "runtime_version": "version that the runtime reports",
    "artifact_sha256": "hash of the converted model",
    "route": "the conversions that made the artifact, in order",
    "started_at": "start of the cell, UTC",
    "trials": "number of trials",
    "compute": "arithmetic that the format computes with",
    "emulated": "whether the device is emulated (latency is not representative of hardware)",
    "step": "step at which the cell failed",
    "hint": "what to do about the failure",
}


def pages() -> dict[str, str]:
    """File name in docs/reference/ -> its text."""
    return {
        "cli.md": _page("Commands", _CLI, _commands()),
        "scenario.md": _page("Scenario file", _SCENARIO, _keys(scenario_type())),
        "model.md": _page("Model file", _MODEL, _keys(ModelFile)),
        "device.md": _page("Device file", _DEVICE, _keys(DeviceFile)),
        "export-columns.md": _page("Export columns", _EXPORT, _columns()),
    }


_CLI = """\
Results go to stdout, progress and logs to stderr. Exit codes: 0 success · 1 a cell failed or
is invalid, or a gate failed · 2 a mistake in a file or in the command · 130 interrupted; `--resume`
continues.
"""
_SCENARIO = """\
`scenarios/NAME.yaml` defines what to run: a matrix of model × format × precision × device. Other keys are
errors. `bench schema` prints the same as a JSON schema for your editor.
"""
_MODEL = """\
`models/NAME/model.yaml` describes a model. Paths are relative to its folder. Other keys
are errors.
"""
_DEVICE = """\
`devices/NAME.yaml` describes a machine. Other keys are errors.
[Devices](../devices.md) explains the settings.
"""
_EXPORT = """\
`bench export RUN --format csv|json|parquet|markdown|junit` writes one row per cell. Columns never
change name or order; new ones are appended. Unknown values are empty, never 0.
In CSV, text that a spreadsheet would evaluate as a formula has an apostrophe before it.
"""


def _page(title: str, intro: str, lines: Iterator[str] | list[str]) -> str:
    return "\n".join([MADE, f"# {title}\n", intro, *lines]).rstrip() + "\n"


def _commands() -> Iterator[str]:
    for name in _names(get_command(app), ()):
        run = CliRunner().invoke(app, [*name, "--help"], prog_name="bench", terminal_width=96)
        yield f"## {' '.join(('bench', *name))}\n\n```text\n{run.output.strip()}\n```\n"


def _names(command: Any, name: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    inside: Mapping[str, Any] = getattr(command, "commands", {})
    if not inside:
        yield name
    for word in sorted(inside):
        yield from _names(inside[word], (*name, word))


def _keys(file: type[BaseModel]) -> list[str]:
    schema = file.model_json_schema()
    rows = _rows(schema, schema.get("$defs", {}), "")
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows]


def _rows(schema: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in schema["properties"].items():
        inner = _inner(value, defs)
        about = value.get("description") or (inner or {}).get("description", "")
        kind = "mapping" if inner else _kind(value)
        default = _default(value, required=key in schema.get("required", ()))
        yield f"| `{prefix}{key}` | {kind} | {default} | {_cell(about)} |"
        if inner:
            each = ".NAME" if value.get("type") == "object" else ""
            yield from _rows(inner, defs, f"{prefix}{key}{each}.")


def _inner(value: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    entries = value.get("patternProperties", {}).values()
    for choice in (value, *value.get("anyOf", ()), *entries):
        if "$ref" in choice:
            return dict(defs[choice["$ref"].rsplit("/", 1)[1]])
    return None


def _kind(value: Mapping[str, Any]) -> str:
    choices = [c for c in value.get("anyOf", [value]) if c.get("type") != "null"]
    return " or ".join(_simple(choice) for choice in choices)


def _simple(value: Mapping[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}"
    if value.get("type") == "object":
        return "mapping"
    return str(value.get("type", "any")) + _range(value)


def _range(value: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[name]:g}" for name, sign in signs.items() if name in value]
    return f" {', '.join(limits)}" if limits else ""


def _default(value: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    default = value.get("default")
    return "" if default in (None, "", {}) else f"`{default}`"


def _columns() -> Iterator[str]:
    yield "| column | type | meaning |\n|---|---|---|"
    for name in export.columns():
        kind = export.TYPES.get(name, "VARCHAR").lower()
        yield f"| `{name}` | {kind} | {_meaning(name)} |"


def _meaning(column: str) -> str:
    """Written above, or the title that a metric gives its value."""
    return MEANINGS.get(column) or metrics.values()[column].title


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> None:
    """Write every generated page."""
    OUT.mkdir(exist_ok=True)
    for name, text in pages().items():
        (Path(OUT) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
