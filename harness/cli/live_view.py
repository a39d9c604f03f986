"""The live view of a run: what runs, what is next, time left. Pure.

Every row fits the given width; a cell is named by what distinguishes it from the others.
"""

from __future__ import annotations

from typing import Literal

from ..printable import printable
from ..records import Cell
from .human import about, clock
from .progress import DeviceProgress, Progress

Style = Literal["", "bold", "dim", "yellow"]
Row = tuple[Style, str]
#: of a bar, in columns; the narrow one below so many columns of the terminal
BAR, NARROW_BAR, NARROW = 24, 10, 100


def rows(progress: Progress, width: int) -> list[Row]:
    """Top to bottom."""
    names = [*progress.devices, "prepare", "then", "cells"]
    indent = max(map(len, names)) + 2
    found = [*_preparation(progress, indent, width), *_devices(progress, indent, width)]
    waiting = [n for n, d in progress.devices.items() if d.phase == "waiting" and not d.is_over]
    if waiting:
        found.append(
            ("dim", f"{'then':<{indent}}{', '.join(_share(progress, n) for n in waiting)}")
        )
    found.append(("bold", f"{'cells':<{indent}}{_all(progress, width)}"))
    return [(style, _cut(printable(text), width)) for style, text in found]


def bar(done: int, total: int, width: int) -> str:
    """`━━━━━─────`"""
    full = int(width * min(done, total) / total) if total else 0
    return "━" * full + "─" * (width - full)


def label(cell: Cell, cells: list[Cell]) -> str:
    """`onnx fp32 t2`: format, precision, and what else varies among the cells."""
    parts = [cell.format, cell.precision]
    if len({c.model for c in cells}) > 1:
        parts.insert(0, cell.model)
    if len({c.threads for c in cells}) > 1:
        parts.append(f"t{cell.threads}")
    if len({c.batch for c in cells}) > 1:
        parts.append(f"b{cell.batch}")
    return " ".join(parts)


def _preparation(progress: Progress, indent: int, width: int) -> list[Row]:
    if not progress.running:
        return []
    now, total = progress.clock(), progress.task_count
    of = f"{progress.ended_count} of {total}" if total else "starting"
    head = f"{'prepare':<{indent}}{bar(progress.ended_count, total, _bar(width))}  {of}"
    tasks: list[Row] = [
        ("", f"{'':<{indent}}{name} · {clock(now - began)}")
        for name, began in progress.running.items()
    ]
    log: list[Row] = [("dim", f"{'':<{indent}}{progress.last_log}")] if progress.last_log else []
    return [("", head), *tasks, *log]


def _devices(progress: Progress, indent: int, width: int) -> list[Row]:
    found: list[Row] = []
    for name, device in progress.devices.items():
        if not device.cell or device.is_over:
            continue
        trials = device.phase == "trials"
        done, of = (
            (device.trials_done, device.total)
            if trials
            else (len(device.checked) - 1, device.to_check)
        )
        unit = "trials" if trials else "checked"
        since = clock(progress.clock() - device.began)
        count = f"{bar(done, of, _bar(width))}  {done} of {of} {unit}"
        found.append(("", f"{name:<{indent}}{count} · {_now(progress, device)} · {since}"))
        if device.waits_for:
            found.append(("yellow", f"{'':<{indent}}{device.waits_for}"))
        if device.next:
            found.append(("dim", f"{'':<{indent}}next {_label(progress, device.next)}"))
    return found


def _now(progress: Progress, device: DeviceProgress) -> str:
    name = _label(progress, device.cell)
    if device.phase == "trials":
        return f"{name}, {device.index + 1} of {device.of}"
    return f"{name}: {device.step}"


def _share(progress: Progress, name: str) -> str:
    device = progress.devices[name]
    count = device.cells - len(device.over)
    return f"{name}: {count} cell{'' if count == 1 else 's'}"


def _all(progress: Progress, width: int) -> str:
    done, total = progress.done, len(progress.cells)
    counts = [f"{n} {status}" for status, n in sorted(progress.results.items(), reverse=True)]
    left = [f"{about(progress.left_s())} left"] if done < total else []
    texts = [f"{done} of {total}", *counts, clock(progress.elapsed_s), *left]
    return f"{bar(done, total, _bar(width))}  {' · '.join(texts)}"


def _label(progress: Progress, cell: str) -> str:
    known = progress.cells.get(cell)
    return label(known, list(progress.cells.values())) if known else cell


def _bar(width: int) -> int:
    return BAR if width >= NARROW else NARROW_BAR


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
