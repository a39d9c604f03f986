"""A project that somebody sent: its YAML, its models' files, and what TAB would type of it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness.bundling import wheels
from harness.cache import file_sha256
from harness.cli import complete
from harness.containers import recipe, venv_build
from harness.containers.output import JobOutput
from harness.errors import BenchError, ConfigError, StepFailed
from harness.payload import source_sha256
from harness.records import ModelSpec, TensorSpec
from harness.scenario import config, yaml_lines
from harness.steps.convert import check_weights
from harness.untrusted.removal import remove
from harness.workspace import PACKAGE

from .conftest import one_line


def mistake(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        yaml_lines.read(path)
    (what,) = caught.value.mistakes
    return what


def test_a_file_that_never_ends_or_never_begins_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    began = time.monotonic()
    assert mistake(tmp_path / "pipe.yaml") == f"{tmp_path}/pipe.yaml: not a regular file"
    assert mistake(tmp_path / "zero.yaml") == f"{tmp_path}/zero.yaml: not a regular file"
    with (tmp_path / "long.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert mistake(tmp_path / "long.yaml") == (
        f"{tmp_path}/long.yaml: 1099511627776 bytes exceed the limit of 262144"
    )
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "text",
    ["a: !!timestamp x", "!!bool x", "a: !!int x", "a: !!float x", "a: !!binary x", "[" * 5000],
)
def test_a_tag_whose_value_is_none_of_its_kind_is_a_mistake(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert mistake(path).startswith(f"{path}:1: ")


@pytest.mark.parametrize("text", ['name: "\\ud800"', '"\\ud800": 1', f"name: 0x{'f' * 5000}"])
def test_what_nobody_could_write_again_is_a_mistake(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert ":1: not YAML: " in mistake(path)
    with pytest.raises(ConfigError):
        config.read_scenario(path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_weights_that_are_no_file_are_not_waited_for(tmp_path: Path, make: object) -> None:
    make(tmp_path / "w.pt")  # type: ignore[operator]
    spec = ModelSpec(
        "m", "detection", "n.py", "b", "w.pt", "00",
        (TensorSpec("i", (1, 3, 8, 8)),), ("o",), ("c",),
    )  # fmt: skip
    with pytest.raises(StepFailed) as caught:
        check_weights(spec, tmp_path)
    assert one_line(caught.value) == f"{tmp_path}/w.pt: not a regular file"
    with pytest.raises(OSError, match="not a regular file"):
        file_sha256(tmp_path / "w.pt")


@pytest.mark.parametrize("weights", ["../id_rsa", "{outside}/id_rsa", "link", "folder/id_rsa"])
def test_no_hash_of_a_private_file_is_told(tmp_path: Path, weights: str) -> None:
    """Results are shared; by its hash a file is known to be there."""
    (tmp_path / "id_rsa").write_text("private")
    model = tmp_path / "model"
    model.mkdir()
    (model / "link").symlink_to("../id_rsa")
    (model / "folder").symlink_to("..")
    spec = ModelSpec(
        "m", "detection", "n.py", "b", weights.format(outside=tmp_path), "00",
        (TensorSpec("i", (1, 3, 8, 8)),), ("o",), ("c",),
    )  # fmt: skip
    with pytest.raises(StepFailed) as caught:
        check_weights(spec, model)
    said = one_line(caught.value)
    assert said.endswith("outside of the model's folder, and not the file of model.yaml's hash")
    assert file_sha256(tmp_path / "id_rsa")[:8] not in said


def test_folders_without_end_in_a_model_s_folder_are_one_line(tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    for _ in range(1500):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(here)
    try:
        with pytest.raises(BenchError) as caught:
            source_sha256(tmp_path)
    finally:
        remove(tmp_path / "d")  # pytest's own removal, in a later session, would not get so deep
    assert one_line(caught.value) == f"{tmp_path}: folders are nested too deeply"


NAMES = ["$(id)", "`id`", "a;id", "a|id", "a>b", "a\x1b]52;c;aGk=\x07", "a\nid", "a\u202eb", "a'b"]


@pytest.mark.parametrize("name", NAMES)
def test_tab_types_no_command_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").touch()
    for folder, suffix in (("devices", ".yaml"), ("scenarios", ".yaml"), ("runs", "/run.json")):
        for one in (name, "good one"):
            path = tmp_path / folder / f"{one}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert complete.runs("") == ["latest", "good one"]
    assert complete.devices("g") == ["good one"]
    assert complete.devices(name) == []
    assert complete.scenarios("scenarios/") == ["scenarios/good one.yaml"]


#: modules of the standard library and of ours that a program of Python may look for in its folder
MODULES = ("pip", "venv", "harness", "argparse", "logging", "json", "uv", "sitecustomize", "runpy")


def test_no_module_of_the_folder_that_bench_is_called_in_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` looks there first."""
    project = tmp_path / "project"
    project.mkdir()
    for name in MODULES:
        (project / f"{name}.py").write_text(f"open({str(project / f'ran-{name}')!r}, 'w')\n")
    monkeypatch.chdir(project)
    recipe.pip_settings({})
    lock = tmp_path / "requirements.lock"
    lock.write_text("")
    made = recipe.Recipe("tiny", tmp_path)
    assert made.lock == lock
    output = JobOutput(io.BytesIO())
    venv_build.make(made, tmp_path / "tiny-1", tmp_path / "log", output)
    assert venv_build.is_complete(tmp_path / "tiny-1")
    venv_build._version.__wrapped__(venv_build._python())
    assert subprocess.run([*wheels._pip(), "--help"], capture_output=True, check=True).stdout
    assert [path.name for path in project.glob("ran-*")] == []


def test_every_program_of_python_is_started_without_the_folder_it_is_called_in() -> None:
    """But for jobs, whose folder is theirs."""
    starts = re.compile(r'(?:executable|python|_python\(\)), "-[mc]"')
    found = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if starts.search(path.read_text("utf-8"))
    ]
    assert found == ["runtimes/venv.py"]  # on a device, in the working folder there
