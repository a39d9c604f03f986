"""`state.jsonl` in a trial's folder: a header line, then one line per reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..records import Reading, Watched
from ..serial import Malformed, dumps, from_json, loads, parse, to_json
from ..untrusted import files
from ..untrusted.text import LINES_BYTES

VERSION = 1


def write(path: Path, watched: Watched) -> None:
    """Write atomically; raises OSError."""
    head = {"version": VERSION, "count": len(watched.readings)}
    lines = [dumps({**head, **to_json(replace(watched, readings=()))})]
    lines += [dumps(reading) for reading in watched.readings]
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(path)


def read(path: Path) -> Watched:
    """Read what `write` wrote. Raises Malformed with the line, or StepFailed."""
    lines = files.read(path, LINES_BYTES).decode("utf-8", "replace").splitlines()
    if not lines:
        raise Malformed(f"{path.name}: empty")
    head = parse(lines[0], f"{path.name}:1")
    version = head.get("version") if isinstance(head, dict) else None
    if version != VERSION:
        raise Malformed(f"{path.name}:1: version {version!r}, expected {VERSION}")
    watched = from_json(Watched, head, f"{path.name}:1")
    readings = tuple(
        loads(Reading, line, f"{path.name}:{number}") for number, line in enumerate(lines[1:], 2)
    )
    if len(readings) != head.get("count"):
        counted = f"{len(readings)} readings, expected {head.get('count')!r}"
        raise Malformed(f"{path.name}: {counted}: the file was truncated or extended")
    return replace(watched, readings=readings)
