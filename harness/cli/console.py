"""All that a person sees in the terminal. Results go to stdout, progress and log to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ..errors import BenchError
from ..export import accuracy, figure, rows
from ..records import CellResult, Plan, Scalar
from ..serial import to_json
from ..store import Run

STYLES = {
    "ok": "green",
    "failed": "red",
    "skipped": "dim",
    "valid": "green",
    "suspect": "yellow",
    "invalid": "red",
}

#: columns of what is not a terminal: a file or a pipe does not wrap
WIDE = 160

out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(
    stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else WIDE
)


def show_error(error: BenchError) -> None:
    """What happened, then what to do next."""
    err.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    if error.hint:
        err.print(f"[dim]→[/] {escape(error.hint)}", soft_wrap=True)


class JsonProgress:
    """Every event as one JSON line on stdout."""

    def __enter__(self) -> JsonProgress:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, event: str, **values: Any) -> None:
        """Print the event at once."""
        record = {
            "event": event,
            "at": round(time.time(), 3),
            **{k: to_json(v) for k, v in values.items()},
        }
        print(json.dumps(record, ensure_ascii=False), flush=True)


@dataclass
class _Lane:
    """How far the trials of one device are."""

    now: str = ""
    position: int = 0
    total: int = 0
    began: float = 0.0

    def starts(self, now: str, position: int, total: int) -> None:
        self.began = self.began or time.monotonic()
        self.now, self.position, self.total = now, position, total

    def left_s(self) -> float | None:
        """At the pace so far; None before the first trial has ended."""
        if not self.position:
            return None
        each_s = (time.monotonic() - self.began) / self.position
        return each_s * (self.total - self.position)


class LiveProgress:
    """A line a finished cell; in a terminal also what runs, what is next and how long still."""

    def __init__(self, plan: Plan) -> None:
        self._cells = len(plan.cells)
        self._began = time.monotonic()
        #: what this machine makes now -> since when; how far that is
        self._running: dict[str, float] = {}
        self._tasks = ""
        self._device = {cell.id: cell.device for cell in plan.cells}
        self._lanes: dict[str, _Lane] = {}
        self._bar = Progress(
            TextColumn("[bold]{task.fields[phase]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task = self._bar.add_task("", total=self._cells, phase="prepare", now="")

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def __call__(self, event: str, **values: Any) -> None:
        """Show one event of the pipeline."""
        handler = getattr(self, f"_on_{event}", None)
        if handler:
            handler(**values)

    def _on_task(self, step: str, task: str) -> None:
        self._running[task] = time.monotonic()
        self._plain(f"start {task}")
        self._show_running()

    def _on_task_end(
        self, step: str, task: str, seconds: float, outcome: str, n: int, of: int
    ) -> None:
        self._running.pop(task, None)
        left_s = (time.monotonic() - self._began) / n * (of - n)
        self._tasks = f"{n} of {of}" + (f" · {_duration(left_s)} left" if n < of else "")
        word = "done " if outcome == "ok" else "FAILED"
        self._plain(f"{word} {task} in {_duration(seconds)} ({self._tasks})")
        self._bar.update(self._task, total=of, completed=n)
        self._show_running()

    def _show_running(self) -> None:
        now = " | ".join(escape(task) for task in self._running)
        self._bar.update(self._task, now=f"{now} · {self._tasks}" if self._tasks else now)

    def _plain(self, line: str) -> None:
        """A line where nobody watches: a log, with the time since the start."""
        if not err.is_terminal:
            elapsed = int(time.monotonic() - self._began)
            err.print(f"[{elapsed // 60:3}:{elapsed % 60:02}] {line}", soft_wrap=True, markup=False)

    def _on_trial_end(
        self, cell: str, index: int, seconds: float, position: int, total: int, next: str
    ) -> None:
        lane = self._lanes[self._device.get(cell, "")]
        lane.position = position + 1
        left = lane.left_s()
        rest = f", {_duration(left)} left" if left else ""
        where = f"trial {index + 1} of {cell}"
        self._plain(f"done  {where} in {_duration(seconds)} ({position + 1} of {total}{rest})")

    def _on_report(self, page: str) -> None:
        self._say(f"pages so far: {escape(page)}")

    def _on_log(self, line: str) -> None:
        if err.is_terminal:
            self._bar.update(self._task, now=escape(line.strip()[:60]))

    def _on_step(self, cell: str, step: str) -> None:
        self._bar.update(self._task, phase="check", now=f"{escape(cell)} · {step}")

    def _on_step_end(self, cell: str, step: str, seconds: float) -> None:
        if seconds >= 1:
            self._plain(f"done  {step} of {cell} in {_duration(seconds)}")

    def _on_trial(
        self, cell: str, index: int, of: int, position: int, total: int, next: str
    ) -> None:
        lane = self._lanes.setdefault(self._device.get(cell, ""), _Lane())
        lane.starts(f"{cell} trial {index + 1}/{of}", position, total)
        lanes = [lane for lane in self._lanes.values() if lane.position < lane.total]
        now = " | ".join(escape(lane.now) for lane in lanes)
        left = max((lane.left_s() for lane in lanes), default=None, key=lambda s: s or 0.0)
        eta = f" · {_duration(left)} left" if left else " · first trial"
        following = f" · next {escape(next)}" if next and len(lanes) == 1 else ""
        self._bar.update(
            self._task,
            total=sum(lane.total for lane in self._lanes.values()),
            completed=sum(lane.position for lane in self._lanes.values()),
            phase="measure",
            now=f"{now}{eta}{following}",
        )

    def _on_lost(self, device: str, cell: str, reason: str) -> None:
        where = f" at {cell}" if cell else ""
        self._say(f"[yellow]lost[/] {escape(device)}{escape(where)}: {escape(reason)}")

    def _on_cell(self, cell: str, status: str, result: CellResult) -> None:
        self._say(result_line(result))

    def _say(self, line: str) -> None:
        (self._bar.console if err.is_terminal else err).print(line, soft_wrap=True)


def result_line(result: CellResult) -> str:
    """`ok rio-onnx-fp32-local-t1-b1  17.6 ms [17.5, 17.8] n=192`, or why there is no number."""
    style = STYLES[result.status]
    head = f"[{style}]{result.status:7}[/] {escape(result.cell.id)}"
    if result.summary is None or result.verdict == "invalid":
        return f"{head}  [dim]{escape('; '.join(result.reasons))}[/]"
    p50 = result.summary.p50
    text = f"{figure(p50.value)} ms [{figure(p50.low)}, {figure(p50.high)}] n={result.summary.n}"
    return f"{head}  {escape(text)}{_flags(result)}"


def _flags(result: CellResult) -> str:
    if not result.reasons:
        return ""
    more = f" (+{len(result.reasons) - 1} more)" if len(result.reasons) > 1 else ""
    return f"  [yellow]suspect: {escape(result.reasons[0])}{more}[/]"


def show_run(run: Run) -> None:
    """The table of a run on stdout, then what its holes and flags mean."""
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("model", "format", "precision", "device", "threads"):
        table.add_column(name, no_wrap=True)
    for name in ("median ms", "95 % interval", "n", "mAP50-95", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows(run):
        if row["status"] != "skipped":
            table.add_row(*_table_row(row))
    out.print(f"[bold]{escape(run.info.scenario)}[/] · {escape(run.info.run_id)}")
    out.print(table)
    for reason, ids in _holes(run).items():
        out.print(f"[dim]{escape(_first(ids))}: {escape(reason)}[/]", soft_wrap=True)
    hints = [r.failure.hint for r in run.results if r.failure and r.failure.hint]
    for hint in dict.fromkeys(hints):
        out.print(f"[dim]→ {escape(hint)}[/]", soft_wrap=True)
    if any(r.verdict == "suspect" for r in run.results):
        out.print("[yellow]suspect[/]: the report and `bench export` give the reasons")
    for gate in run.info.broken_gates:
        out.print(f"[red]gate broken[/] {escape(gate)}", soft_wrap=True)


def _table_row(row: dict[str, Scalar]) -> list[str]:
    word = str(row["verdict"] if row["status"] == "ok" else row["status"])
    shown = row["p50_ms"] is not None and row["verdict"] != "invalid"
    names = [row[key] for key in ("model", "format", "precision", "device", "threads")]
    numbers = (
        figure(row["p50_ms"]) if shown else "",
        f"[{figure(row['p50_low_ms'])}, {figure(row['p50_high_ms'])}]" if shown else "",
        str(row["n"]) if shown else "",
        accuracy(row),
        "" if row["size_bytes"] is None else f"{float(row['size_bytes']) / 1e6:.2f}",
    )
    return [*(escape(str(n)) for n in names), *map(escape, numbers), f"[{STYLES[word]}]{word}[/]"]


def _holes(run: Run) -> dict[str, list[str]]:
    """Reason -> ids of the cells that have no number for it."""
    holes: dict[str, list[str]] = {}
    for result in run.results:
        if result.status != "ok" or result.verdict == "invalid":
            holes.setdefault("; ".join(result.reasons), []).append(result.cell.id)
    return holes


def _first(ids: Sequence[str]) -> str:
    return ids[0] + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")


def show_plan(plan: Plan, facts: Sequence[str] = ()) -> None:
    """Cells that will run, the holes with their reasons, and notes."""
    for cell in plan.cells:
        out.print(f"[green]run[/]  {escape(cell.id)}", soft_wrap=True)
    holes: dict[str, list[str]] = {}
    for skipped in plan.skipped:
        holes.setdefault(skipped.reason, []).append(skipped.cell.id)
    for reason, ids in holes.items():
        out.print(f"[dim]skip {escape(_first(ids))}: {escape(reason)}[/]", soft_wrap=True)
    for note in (*plan.notes, *facts):
        out.print(f"[yellow]note[/] {escape(note)}")
    out.print(f"{len(plan.cells)} to run, {len(plan.skipped)} skipped")


def show_rows(title: str, columns: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in body:
        table.add_row(*(escape(text) for text in line))
    out.print(table)


def say(text: str) -> None:
    """One line of result on stdout, as it is."""
    out.print(escape(text), soft_wrap=True)


def note(text: str) -> None:
    """One line for the person on stderr."""
    err.print(escape(text), soft_wrap=True)


def note_trial(index: int, count: int) -> None:
    """One line when a trial begins."""
    note(f"trial {index + 1}/{count}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
