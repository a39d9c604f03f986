"""Every test runs below a folder that has, as many homes do, folders of the project's names."""

from __future__ import annotations

import pytest

COMMON = ("models", "devices", "scenarios", "dockerfiles", "runs", "reports")


@pytest.fixture(scope="session", autouse=True)
def crowded_parent(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in COMMON:
        (tmp_path_factory.getbasetemp() / name).mkdir(exist_ok=True)
