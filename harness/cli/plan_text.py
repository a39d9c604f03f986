"""Formats a plan: its matrix, reasons for skipped cells, what is cached, totals. Pure."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

from ..preview.estimate import RULE_S, Expected
from ..preview.summary import Move, Preview
from ..records import Cell, Plan, Skipped
from ..serial import to_json
from .human import about, duration, size
from .plan_matrix import EXCLUDED, blocks, by_reason, letters_of

Style = Literal["", "bold", "dim", "yellow"]
Line = tuple[Style, str]
#: columns before the text of the totals
INDENT = 9


def lines(found: Preview, width: int) -> list[Line]:
    """The matrix, why cells are skipped, what is cached and transferred, and the time it takes."""
    body: list[Line] = [("bold", f"{found.scenario}: profile {found.profile}"), ("", "")]
    for block in blocks(found, width):
        body += [("bold", block[0]), *(("", text) for text in block[1:]), ("", "")]
    body += _wrapped("dim", [*_legend(found), *_reasons(found.plan.skipped)], width, 4)
    body += _wrapped("dim", [f"route: {route}" for route in found.routes], width, 7)
    body += _wrapped("yellow", [f"note: {note}" for note in found.notes], width, 6)
    return [*body, *_wrapped("", _totals(found), width, INDENT)]


def _wrapped(style: Style, texts: Sequence[str], width: int, indent: int) -> list[Line]:
    """Wrapped lines with a hanging indent; a number stays with its unit."""
    unit = re.compile(r"(?<=\d) (?=(?:s|min|h|B|kB|MB|GB)\b)")
    joined = (unit.sub("\u00a0", text) for text in texts)
    hanging = " " * indent
    return [
        (style, line.replace("\u00a0", " "))
        for text in joined
        for line in textwrap.wrap(text, width, subsequent_indent=hanging, break_on_hyphens=False)
    ]


def cell_lines(plan: Plan) -> list[Line]:
    """One line per cell, for scripts: `run ID`, `skip ID: REASON`."""
    run: list[Line] = [("", f"run  {cell.id}") for cell in plan.cells]
    return run + [("dim", f"skip {s.cell.id}: {s.reason}") for s in plan.skipped]


def as_json(found: Preview) -> str:
    """The plan's keys, and what is cached, what is transferred, and the seconds."""
    expected = found.expected
    values: dict[str, Any] = {
        **_plain(found.plan),
        "cached": _plain(found.parts),
        "images_to_build": list(found.images_to_build),
        "routes": list(found.routes),
        "to_move": _plain(found.moves),
        "expected_s": {
            "total": round(expected.total_s, 1),
            "preparation": round(expected.preparation_s, 1),
            "devices": {name: round(expected.device_s(name), 1) for name in expected.devices},
            "cells_from_earlier_runs": expected.learnt,
        },
    }
    return json.dumps(values, ensure_ascii=False)


def _plain(value: object) -> Any:
    return to_json(value)


def counted(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def estimate_text(expected: Expected) -> str:
    """How long, and what the estimate is based on."""
    cells = sum(map(len, expected.devices.values()))
    if not cells:
        return "nothing to measure"
    measuring = max(0.0, expected.total_s - expected.preparation_s)
    text = f"{about(expected.total_s)} on the devices"
    if expected.preparation_s >= 1:
        parts = f"preparation {about(expected.preparation_s)}, devices {about(measuring)}"
        text = f"{about(expected.total_s)}: {parts}"
    rule = f"{duration(expected.rule_trial_s)} per trial"
    if expected.learnt == cells:
        return f"{text}, based on earlier runs"
    if expected.learnt:
        known = f"{expected.learnt} of {cells} cells based on earlier runs"
        return f"{text}; {known}, the others assume {rule}"
    return f"{text}; assumes {rule}: no earlier run has these cells"


def _legend(found: Preview) -> list[str]:
    if not found.plan.cells:
        return []
    known = ", ".join(f"{letter} {title}" for letter, _, title in letters_of(found))
    text = f"cached: {known}; -: made during the run"
    unknown = any(None in _shown_parts(found, cell) for cell in found.plan.cells)
    lines = [f"{text}; ?: unknown until connected" if unknown else text]
    count = len({cell.device for cell in found.order})
    rows = {(c.model, c.format, c.precision, c.threads, c.batch) for c in found.order}
    if len(rows) * count > len(found.order):
        lines.append(f"{EXCLUDED}: excluded, or not matched by --only")
    return lines


def _shown_parts(found: Preview, cell: Cell) -> list[bool | None]:
    return [getattr(found.parts[cell.id], name) for _, name, _ in letters_of(found)]


def _reasons(skipped: Sequence[Skipped]) -> list[str]:
    """Each reason once, with its number in the matrix and its number of cells."""
    return [
        f"[{at + 1}] {reason} ({counted(count, 'cell')})"
        for at, (reason, count) in enumerate(by_reason(skipped).items())
    ]


def _totals(found: Preview) -> list[str]:
    plan, expected = found.plan, found.expected
    trials = counted(len(plan.cells) * expected.trials, "trial")
    rows = [
        ("to run", f"{counted(len(plan.cells), 'cell')}, {trials}; {len(plan.skipped)} skipped"),
    ]
    if plan.cells:
        rows += [
            ("cached", _cached(found)),
            *(("transfer", _move(move)) for move in found.moves),
            ("time", estimate_text(expected)),
        ]
        rows += [("", text) for text in _rules(expected)]
    return [f"{name:<{INDENT}}{text}" for name, text in rows]


def _cached(found: Preview) -> str:
    texts = []
    for _, name, title in letters_of(found)[1:]:
        values = [getattr(parts, name) for parts in found.parts.values()]
        known = [value for value in values if value is not None]
        texts.append(f"{title} of {sum(known)} of {counted(len(known), 'cell')}")
    images = ", ".join(found.images_to_build)
    texts.append(f"images to build: {images}" if images else "all images built")
    return "; ".join(texts)


def _move(move: Move) -> str:
    """What is known without connecting, and what is not."""
    known = f"{counted(move.models, 'model')} {size(move.model_bytes)}" if move.models else ""
    later = f"{counted(move.unknown_models, 'model')} not converted yet"
    images = "images not decoded yet" if move.image_bytes is None else ""
    parts = (
        known,
        later if move.unknown_models else "",
        images or f"images {size(move.image_bytes or 0)}",
    )
    return (
        f"{move.device}: at most {', '.join(filter(None, parts))}; runtimes and files already "
        "there: unknown until connected"
    )


def _rules(expected: Expected) -> list[str]:
    """The assumed times, if parts of the preparation have no earlier run."""
    if not expected.by_rule:
        return []
    seconds = {kind: duration(RULE_S[kind]) for kind in RULE_S}
    return [
        f"{counted(expected.by_rule, 'task')} of preparation assume {seconds['image']} per "
        f"image, {seconds['convert']} per conversion, {seconds['check']} per check"
    ]
