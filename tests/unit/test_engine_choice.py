"""No model's code runs without a sandbox unless somebody has said so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import cli, containers
from harness.containers import bubblewrap
from harness.errors import StepFailed, UsageError

NO_DOCKER = "no daemon answers: start it"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "docker_available", lambda: NO_DOCKER)


@pytest.fixture
def no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "why_not", lambda: bubblewrap.MISSING)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "why_not", lambda: None)


@pytest.mark.parametrize(("asked", "recorded"), [("auto", "auto"), ("", "auto"), ("", "venv")])
def test_without_any_sandbox_models_are_refused(
    no_sandbox: None, asked: str, recorded: str
) -> None:
    """`replay` asks for nothing, and the run that it repeats was of environments."""
    with pytest.raises(UsageError) as raised:
        containers.choose_for_models(asked, recorded)
    whys = [] if recorded == "venv" else [f"Docker unavailable: {NO_DOCKER}"]
    assert raised.value.message == "; ".join(["no sandbox for models", *whys, bubblewrap.MISSING])
    assert raised.value.hint == (
        "Install bubblewrap, or pass --engine venv to run models without a sandbox."
    )


def test_who_types_venv_accepts_that(no_sandbox: None) -> None:
    engine = containers.choose_for_models("venv", "docker")
    assert (engine.name, engine.confinement) == ("venv", "none")


@pytest.mark.parametrize("asked", ["auto", "venv", ""])
def test_environments_are_confined_where_that_works(sandbox: None, asked: str) -> None:
    engine = containers.choose_for_models(asked)
    assert (engine.name, engine.confinement) == ("venv", "bubblewrap")


def test_who_asks_for_docker_gets_nothing_else(sandbox: None) -> None:
    with pytest.raises(StepFailed, match="Docker unavailable"):
        containers.choose_for_models("docker")


def test_what_runs_no_model_needs_no_sandbox(no_sandbox: None) -> None:
    assert containers.choose("auto").confinement == "none"


@pytest.mark.parametrize(
    "command",
    [
        ("run", "scenarios/rio.yaml"),
        ("check-noise",),
        ("convert", "rio", "--format", "onnx", "--out", "model.onnx"),
        ("devices", "check", "local"),
    ],
)
def test_every_command_that_runs_models_refuses(
    no_sandbox: None,
    command: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    command = tuple(str(ROOT / word) if word.endswith(".yaml") else word for word in command)
    monkeypatch.setattr(sys, "argv", ["bench", *command])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "error: no sandbox for models" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((0, ""), None),
        ((1, "bwrap: setting up uid map: Permission denied\n"), "setting up uid map"),
        ((7, ""), "exit code 7"),
    ],
)
def test_a_bubblewrap_that_does_not_work_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: tuple[int, str], said: str | None
) -> None:
    fake = tmp_path / "bwrap"
    code, text = reply
    fake.write_text(
        "#!/bin/sh\n"
        f'[ "$1" != --version ] || {{ echo "bubblewrap 0.8.0"; exit; }}\n'
        f"printf '{text}' >&2; exit {code}\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    why = bubblewrap.why_not.__wrapped__()
    if said is None:
        assert why is None
    else:
        assert why is not None
        assert why.startswith("bubblewrap does not work here: ")
        assert said in why


def test_no_bubblewrap_is_said_with_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap.why_not.__wrapped__() == "bubblewrap is missing: apt-get install bubblewrap"
