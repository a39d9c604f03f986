"""What TAB offers, as a shell asks for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from records_for_tests import write_run

from harness import cli
from harness.workspace import MARK

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two scenarios, two runs, a device; the shell is in a folder of it."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cards"
    for name in ("scenarios/small.yaml", "scenarios/large.yaml", "devices/pixel.yaml", MARK):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    write_run(folder / "runs" / "20260101T000000-small")
    write_run(folder / "runs" / "20260102T000000-large")
    (folder / "notes").mkdir()
    monkeypatch.chdir(folder)
    return folder


Offered = Callable[[str], list[str]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offered:
    """What is offered for TAB at the end of a line."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_BENCH_COMPLETE", "complete_bash")
        monkeypatch.setattr(sys, "argv", ["bench"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        seen = capsys.readouterr()
        assert (stop.value.code, seen.err) == (0, "")
        return seen.out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "offer"),
    [
        ("bench rep", ["report", "replay"]),
        ("bench run s", ["scenarios/large.yaml", "scenarios/small.yaml", "scenarios/"]),
        ("bench plan scenarios/l", ["scenarios/large.yaml"]),
        ("bench open ", ["latest", "20260102T000000-large", "20260101T000000-small"]),
        ("bench compare 20260101", ["20260101T000000-small"]),
        ("bench runs rm l", ["latest"]),
        ("bench devices check p", ["pixel"]),
        ("bench check-noise --device ", ["local", "pixel"]),
        ("bench convert rio -f o", ["onnx", "openvino"]),
        ("bench export -f j", ["json", "junit"]),
        ("bench prune r", ["runs"]),
        ("bench images build torch", ["torchscript"]),
        ("bench run s.yaml --engine d", ["docker"]),
        ("bench prune --kee", ["--keep-last"]),
    ],
)
def test_tab_offers_what_there_is(offered: Offered, line: str, offer: list[str]) -> None:
    assert offered(line) == offer


def test_in_a_folder_of_the_project_scenarios_are_offered_by_their_way_there(
    offered: Offered, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "notes")
    assert offered("bench run ../") == [
        "../scenarios/large.yaml",
        "../scenarios/small.yaml",
        "../devices/",
        "../runs/",
        "../scenarios/",
    ]


def test_where_nothing_can_be_read_nothing_is_offered(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_PROJECT", "gone")
    assert offered("bench open ") == []
    assert offered("bench run ") == []
    assert offered("bench run no/such/fol") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_takes_the_script_that_is_shown() -> None:
    main = f"PYTHONPATH={ROOT} {sys.executable} -c 'from harness.cli import main; main()'"
    script = (
        f'bench() {{ {main} "$@"; }}; export -f bench; eval "$(bench --show-completion bash)"; '
        "COMP_WORDS=(bench open lat); COMP_CWORD=2; _bench_completion 'bench'; "
        'echo "${COMPREPLY[@]}"; complete -p bench'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "complete -o default -F _bench_completion bench" in done.stdout, done.stderr
