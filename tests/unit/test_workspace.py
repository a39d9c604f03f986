"""Which project a command is about: nobody's folder of models is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.workspace import MARK, Workspace


@pytest.fixture(autouse=True)
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_PROJECT", raising=False)
    for name in ("models", "devices", "scenarios", "runs", "reports"):
        (tmp_path / name).mkdir()


@pytest.mark.parametrize(
    ("scenario", "project"),
    [
        ("work/mine.yaml", "work"),
        ("work/scenarios/mine.yaml", "work"),
        ("work/deep/er/mine.yaml", "work/deep/er"),
    ],
)
def test_a_scenario_belongs_to_its_own_folder(tmp_path: Path, scenario: str, project: str) -> None:
    (tmp_path / scenario).parent.mkdir(parents=True)
    assert Workspace.of_scenario(tmp_path / scenario).project == tmp_path / project


@pytest.mark.parametrize(
    "scenario", ["work/mine.yaml", "work/scenarios/mine.yaml", "work/a/b.yaml"]
)
def test_a_mark_makes_the_folder_around_a_project(tmp_path: Path, scenario: str) -> None:
    (tmp_path / scenario).parent.mkdir(parents=True)
    (tmp_path / "work" / MARK).touch()
    assert Workspace.of_scenario(tmp_path / scenario).project == tmp_path / "work"


def test_without_a_scenario_it_is_the_marked_folder_above_or_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work/deep")
    assert Workspace.here().project == tmp_path / "work/deep"
    (tmp_path / "work" / MARK).touch()
    assert Workspace.here().project == tmp_path / "work"


def test_the_environment_decides_where_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chosen").mkdir()
    monkeypatch.setenv("BENCH_PROJECT", str(tmp_path / "chosen"))
    assert Workspace.here().project == tmp_path / "chosen"
    assert Workspace.of_scenario(tmp_path / "x.yaml").project == tmp_path / "chosen"
    monkeypatch.setenv("BENCH_PROJECT", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="no such folder"):
        Workspace.here()


def test_the_checkout_is_a_project() -> None:
    root = Path(__file__).parents[2]
    assert Workspace.of_scenario(root / "scenarios/rio.yaml").project == root
