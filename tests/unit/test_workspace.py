"""Which folder is the project: a mark decides, never what folders are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from records_for_tests import write_run

from harness import workspace
from harness.errors import UsageError
from harness.workspace import MARK, Workspace


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_of_the_project_s_names_above_make_no_project(tmp_path: Path) -> None:
    assert (tmp_path.parent / "models").is_dir()
    assert workspace.marked(tmp_path) is None
    assert Workspace.here().project == tmp_path
    assert Workspace.of_scenario(tmp_path / "s.yaml").project == tmp_path


def test_a_scenario_belongs_to_the_nearest_marked_folder_above_it(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "scenarios"
    deep.mkdir(parents=True)
    (tmp_path / MARK).write_text("")
    assert Workspace.of_scenario(deep / "s.yaml").project == tmp_path
    (tmp_path / "a" / MARK).write_text("")
    assert Workspace.of_scenario(deep / "s.yaml").project == tmp_path / "a"


def test_without_a_mark_a_scenario_belongs_to_its_folder_or_to_that_of_scenarios(
    tmp_path: Path,
) -> None:
    assert Workspace.of_scenario(tmp_path / "x" / "s.yaml").project == tmp_path / "x"
    assert Workspace.of_scenario(tmp_path / "x/scenarios/s.yaml").project == tmp_path / "x"
    assert Workspace.of_scenario(Path("scenarios/s.yaml")).project == tmp_path


def test_a_scenario_that_ships_with_bench_is_run_in_the_project_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "site-packages" / "harness"
    monkeypatch.setattr(workspace, "PACKAGE", shipped)
    scenario = shipped / "data" / "scenarios" / "rio.yaml"
    assert Workspace.of_scenario(scenario).project == tmp_path


def test_a_command_without_a_scenario_takes_the_nearest_marked_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MARK).write_text("")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models" / "mine")
    assert Workspace.with_runs().project == tmp_path


def test_a_folder_with_runs_needs_no_mark(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert Workspace.with_runs().project == tmp_path


def test_who_looks_for_runs_where_none_can_be_is_told_how_to_name_a_project(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError) as caught:
        Workspace.with_runs()
    assert caught.value.message == (
        f"no project: no bench.toml in {tmp_path} or a parent folder, and no runs/"
    )
    assert caught.value.hint == "Change to a project folder, or pass --project DIR."


def test_the_option_comes_before_the_variable_and_both_before_every_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MARK).write_text("")
    for name in ("asked", "named"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("BENCH_PROJECT", "named")
    assert Workspace.of_scenario(tmp_path / "s.yaml").project == tmp_path / "named"
    assert Workspace.with_runs().project == tmp_path / "named"
    assert Workspace.here("asked").project == tmp_path / "asked"


@pytest.mark.parametrize(
    ("option", "variable", "message"),
    [
        ("nope", "", "--project nope: no such folder"),
        ("", "nope", "BENCH_PROJECT=nope: no such folder"),
    ],
)
def test_a_project_that_is_not_there_is_said_to_be_none(
    option: str, variable: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_PROJECT", variable)
    with pytest.raises(UsageError) as caught:
        Workspace.here(option)
    assert caught.value.message == message


def test_a_run_that_is_named_by_its_folder_needs_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "cards" / "runs" / "r1")
    write_run(tmp_path / "copied")
    assert Workspace.of_run(Path("cards/runs/r1")).project == tmp_path / "cards"
    assert Workspace.of_run(Path("copied")).project == tmp_path
    (tmp_path / MARK).write_text("")
    assert Workspace.of_run(Path("cards/runs/r1")).project == tmp_path


def test_the_checkout_is_a_project_of_its_own() -> None:
    root = Path(workspace.__file__).parents[1]
    assert Workspace.of_scenario(root / "scenarios" / "rio.yaml").project == root
