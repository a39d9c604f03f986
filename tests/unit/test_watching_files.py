from __future__ import annotations

from pathlib import Path

import pytest
from series_for_tests import series

from harness.monitor.state_file import read, write
from harness.records import Watched
from harness.serial import Malformed

WATCHED = Watched(
    tuple(series(3)), ("a note",), 0.4, {"RAPL package-0": 262143328850}, ("temperature",)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "state.jsonl", WATCHED)
    return tmp_path / "state.jsonl"


def test_what_is_written_is_read(path: Path) -> None:
    assert read(path) == WATCHED
    assert [p.name for p in path.parent.iterdir()] == ["state.jsonl"]


def test_nothing_seen_is_kept_too(tmp_path: Path) -> None:
    write(tmp_path / "s", Watched(notes=("no sensor",)))
    assert read(tmp_path / "s") == Watched(notes=("no sensor",))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: [], "state.jsonl: empty"),
        (lambda lines: ["{", *lines[1:]], "state.jsonl:1: not JSON: Expecting property name"),
        (lambda lines: ["[1]", *lines[1:]], "state.jsonl:1: version None, expected 1"),
        (
            lambda lines: [lines[0].replace('"version": 1', '"version": 2'), *lines[1:]],
            "state.jsonl:1: version 2, expected 1",
        ),
        (lambda lines: [*lines[:2], lines[2][:40]], "state.jsonl:3: not JSON: "),
        (
            lambda lines: [*lines[:3], lines[3].replace("50.0", '"hot"')],
            r"state.jsonl:4.temperatures_c.cpu-1-0-usr: expected float, got 'hot'",
        ),
        (
            lambda lines: lines[:-1],
            "state.jsonl: 2 readings, expected 3: the file was truncated or extended",
        ),
    ],
)
def test_a_damaged_file_names_its_line(path: Path, damage: object, said: str) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join(damage(lines)))  # type: ignore[operator]
    with pytest.raises(Malformed) as error:
        read(path)
    assert str(error.value).startswith(said)
