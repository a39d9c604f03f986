"""The matrix of a plan: formats and precisions down, devices across. Pure.

An entry says whether the cell runs and which parts are cached, or the number of the reason for
which it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..preview.cached import CachedParts
from ..preview.summary import Preview
from ..records import Cell, Skipped

#: columns between two columns
GAP = 2
#: letter in an entry, attribute of Parts, what it is
Letter = tuple[str, str, str]
LETTERS: tuple[Letter, ...] = (("i", "image", "image"), ("a", "artifact", "converted model"))
SCORED: Letter = ("p", "predictions", "predictions")
#: of a cell that the plan does not have
EXCLUDED = "·"


def letters_of(found: Preview) -> tuple[Letter, ...]:
    """Predictions count only if accuracy is part of the run."""
    scored = any(parts.predictions is not None for parts in found.parts.values())
    return (*LETTERS, SCORED) if scored else LETTERS


def by_reason(skipped: Sequence[Skipped]) -> dict[str, int]:
    """Each reason once, with its number of cells; the order gives its number."""
    counts: dict[str, int] = {}
    for one in skipped:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    return counts


def blocks(found: Preview, width: int) -> Iterator[list[str]]:
    """The matrix as lines, headers first, split by devices to fit the width."""
    devices = list(dict.fromkeys(cell.device for cell in found.order))
    labels, entries = _rows(found, devices)
    columns = [[name, *(row[name] for row in entries)] for name in devices]
    head = _widths([_header(found), *labels])
    left = [_padded(row, head) for row in (_header(found), *labels)]
    while columns:
        fit = _fitting(columns, width - len(left[0]))
        yield [_row(left[at], [column[at] for column in fit], fit) for at in range(len(left))]
        columns = columns[len(fit) :]


def _rows(found: Preview, devices: Sequence[str]) -> tuple[list[list[str]], list[dict[str, str]]]:
    """Labels and entries per device; rows that differ only in threads or batch are joined."""
    numbers = {reason: at + 1 for at, reason in enumerate(by_reason(found.plan.skipped))}
    skipped = {s.cell.id: f"skip [{numbers[s.reason]}]" for s in found.plan.skipped}
    rows: dict[tuple[str, ...], dict[Cell, dict[str, str]]] = {}
    for cell in found.order:
        what = skipped.get(cell.id) or f"run {_letters(found, cell)}"
        options = replace(cell, device="")
        key = cell.model, cell.format, cell.precision
        rows.setdefault(key, {}).setdefault(options, {})[cell.device] = what
    labels, entries = [], []
    for label, each in _joined(rows):
        labels.append(_label(found, label))
        entries.append({name: each.get(name, EXCLUDED) for name in devices})
    return labels, entries


def _joined(
    rows: dict[tuple[str, ...], dict[Cell, dict[str, str]]],
) -> Iterator[tuple[list[Cell], dict[str, str]]]:
    """Join rows with equal entries: over threads and batch, then over skipped precisions."""
    groups: list[tuple[list[Cell], dict[str, str]]] = []
    for options in rows.values():
        of_key: list[tuple[list[Cell], dict[str, str]]] = []
        for cell, entries in options.items():
            same = next((group for group in of_key if group[1] == entries), None)
            if same:
                same[0].append(cell)
            else:
                of_key.append(([cell], entries))
        for cells, entries in of_key:
            last = groups[-1] if groups else None
            if last and _all_skipped(entries) and last[1] == entries and _alike(last[0], cells):
                last[0].extend(cells)
            else:
                groups.append((cells, entries))
    return iter(groups)


def _all_skipped(entries: dict[str, str]) -> bool:
    return all(text.startswith("skip") for text in entries.values())


def _alike(these: Sequence[Cell], others: Sequence[Cell]) -> bool:
    first, other = these[0], others[0]
    return (first.model, first.format) == (other.model, other.format)


def _header(found: Preview) -> list[str]:
    return [name for name, _ in _label_parts(found, list(found.order))]


def _label(found: Preview, cells: list[Cell]) -> list[str]:
    return [text for _, text in _label_parts(found, cells)]


def _label_parts(found: Preview, cells: list[Cell]) -> list[tuple[str, str]]:
    """Format and precision; model, threads and batch only if the plan has several."""
    parts = []
    for name in ("model", "format", "precision", "threads", "batch"):
        every = {getattr(cell, name) for cell in found.order}
        if name in ("format", "precision") or len(every) > 1:
            values = dict.fromkeys(str(getattr(cell, name)) for cell in cells)
            parts.append((name, ", ".join(values)))
    return parts


def _letters(found: Preview, cell: Cell) -> str:
    parts = found.parts.get(cell.id, CachedParts(None, None, None))
    marks = {True: "", False: "-", None: "?"}
    shown = [marks[getattr(parts, name)] or letter for letter, name, _ in letters_of(found)]
    return "".join(shown)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (f"{text:<{width + GAP}}" for text, width in zip(row, widths, strict=True))
    return "".join(cells)


def _fitting(columns: Sequence[Sequence[str]], width: int) -> list[Sequence[str]]:
    """The first columns that fit, at least one."""
    fit: list[Sequence[str]] = []
    for column in columns:
        width -= max(map(len, column)) + (GAP if fit else 0)
        if fit and width < 0:
            break
        fit.append(column)
    return fit


def _row(left: str, texts: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    return (left + _padded(texts, [max(map(len, column)) for column in columns])).rstrip()
