"""Run results on the terminal: one line per cell during the run, a table at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from .. import metrics
from ..export import figure, rows
from ..records import CellResult, Scalar
from ..store import Run
from . import console
from .console import plain

STYLES = {
    "ok": "green",
    "failed": "red",
    "skipped": "dim",
    "valid": "green",
    "suspect": "yellow",
    "invalid": "red",
}
#: parts of a cell that are columns only if they vary
LABELS = ("model", "threads", "batch")


def result_line(result: CellResult) -> str:
    """`ok rio-onnx-fp32-local-t1-b1  17.6 ms [17.5, 17.8] n=192`, or why there is none.

    With rich's markup.
    """
    style = STYLES[result.status]
    head = f"[{style}]{result.status:7}[/] {plain(result.cell.id)}"
    if result.summary is None or result.verdict == "invalid":
        return f"{head}  [dim]{plain('; '.join(result.reasons))}[/]"
    p50 = result.summary.p50
    text = f"{figure(p50.value)} ms [{figure(p50.low)}, {figure(p50.high)}] n={result.summary.n}"
    return f"{head}  {plain(text)}{_flags(result)}"


def _flags(result: CellResult) -> str:
    if not result.reasons:
        return ""
    more = f" (+{len(result.reasons) - 1} more)" if len(result.reasons) > 1 else ""
    return f"  [yellow]suspect: {plain(result.reasons[0])}{more}[/]"


def show_run(run: Run) -> None:
    """Print the table of a run on stdout, then the missing results and why."""
    out = console.out()
    shown = [row for row in rows(run) if row["status"] != "skipped"]
    same = [f"{name} {shown[0][name]}" for name in LABELS if shown and not _varies(shown, name)]
    title = " · ".join([run.info.run_id, *([", ".join(same)] if same else [])])
    out.print(f"[bold]{plain(run.info.scenario)}[/] · {plain(title)}", soft_wrap=True)
    out.print(_table(shown, out.width))
    for reason, ids in _missing(run).items():
        out.print(f"[dim]{plain(_first(ids))}: {plain(reason)}[/]", soft_wrap=True)
    hints = [r.failure.hint for r in run.results if r.failure and r.failure.hint]
    for hint in dict.fromkeys(hints):
        out.print(f"[dim]→ {plain(hint)}[/]", soft_wrap=True)
    if any(r.verdict == "suspect" for r in run.results):
        out.print("[yellow]suspect[/]: see the reasons in the report or with `bench export`")
    for gate in run.info.broken_gates:
        out.print(f"[red]gate failed[/] {plain(gate)}", soft_wrap=True)


def _table(shown: Sequence[dict[str, Scalar]], width: int) -> Table:
    """What all cells share is in the title, so that the rest fits."""
    always = ("format", "precision", "device")
    order = ("model", *always, "threads", "batch")
    names = [name for name in order if name in always or _varies(shown, name)]
    gap = 1 if width < console.NARROW else 2
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True)
    titles = {scored.title for row in shown if (scored := metrics.headline(row))}
    metric = titles.pop() if len(titles) == 1 else "accuracy"
    for name in ("median ms", "95 % CI", "n", metric, "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in shown:
        table.add_row(*(plain(str(row[name])) for name in names), *_numbers(row))
    return table


def _varies(shown: Sequence[dict[str, Scalar]], name: str) -> bool:
    return len({row[name] for row in shown}) > 1


def _numbers(row: dict[str, Scalar]) -> list[str]:
    word = str(row["verdict"] if row["status"] == "ok" else row["status"])
    measured = row["p50_ms"] is not None and row["verdict"] != "invalid"
    numbers = (
        figure(row["p50_ms"]) if measured else "",
        f"[{figure(row['p50_low_ms'])}, {figure(row['p50_high_ms'])}]" if measured else "",
        str(row["n"]) if measured else "",
        scored.text(float(row[scored.name] or 0), 1) if (scored := metrics.headline(row)) else "",
        "" if row["size_bytes"] is None else f"{float(row['size_bytes']) / 1e6:.2f}",
    )
    return [*map(plain, numbers), f"[{STYLES[word]}]{word}[/]"]


def _missing(run: Run) -> dict[str, list[str]]:
    """Reason -> ids of the cells without a result."""
    missing: dict[str, list[str]] = {}
    for result in run.results:
        if result.status != "ok" or result.verdict == "invalid":
            missing.setdefault("; ".join(result.reasons), []).append(result.cell.id)
    return missing


def _first(ids: Sequence[str]) -> str:
    return ids[0] + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
