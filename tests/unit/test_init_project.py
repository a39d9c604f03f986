"""`bench init`: files that pass our own checks, and nothing of the user's is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import BenchError, ConfigError, UsageError
from harness.scenario import config, init_project
from harness.workspace import Workspace


def test_scenario_device_and_schema_are_valid_as_written(tmp_path: Path) -> None:
    written = init_project.write(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in written} == {
        "bench.toml",
        "devices/local.yaml",
        "models/mine/model.yaml",
        "scenarios/mine.yaml",
        "scenarios/schema.json",
    }
    scenario = config.read_scenario(tmp_path / "scenarios" / "mine.yaml")
    assert (scenario.models, scenario.devices) == (("mine",), ("local",))
    assert config.read_device(tmp_path / "devices" / "local.yaml").labels == ("host",)
    assert json.loads((tmp_path / "scenarios" / "schema.json").read_text()) == config.schema()


def test_of_the_model_only_its_code_and_weights_are_missing(tmp_path: Path) -> None:
    init_project.write(tmp_path)
    with pytest.raises(ConfigError) as caught:
        config.read_model(tmp_path / "models" / "mine")
    assert [line.rsplit("/", 1)[1] for line in caught.value.mistakes] == [
        "network.py",
        "weights.pt",
    ]


def test_the_folder_is_the_project_of_its_scenarios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_PROJECT", raising=False)
    init_project.write(tmp_path / "new")
    scenario = tmp_path / "new" / "scenarios" / "mine.yaml"
    assert Workspace.of_scenario(scenario).project == tmp_path / "new"


def test_where_one_file_is_there_none_is_written(tmp_path: Path) -> None:
    mine = tmp_path / "devices" / "local.yaml"
    mine.parent.mkdir()
    mine.write_text("kind: jetson\n")
    with pytest.raises(UsageError) as caught:
        init_project.write(tmp_path)
    assert str(caught.value.message) == f"{mine}: already exists"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "kind: jetson\n"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="file: Not a directory|file: File exists"):
        init_project.write(tmp_path / "file")
