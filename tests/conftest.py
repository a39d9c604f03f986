"""Every test runs below a folder that has, as many homes do, folders of the project's names.

What lies in them is broken, so that whoever reads it fails.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

#: how long an example takes says how busy the machine is
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")

COMMON = ("models", "devices", "scenarios", "dockerfiles", "runs", "reports")
BROKEN = (
    "models/decoy/model.yaml",
    "devices/decoy.yaml",
    "scenarios/decoy.yaml",
    "runs/20990101T000000-decoy/run.json",
)
#: what a person may have set, and no test expects
VARIABLES = ("BENCH_PROJECT", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS")


@pytest.fixture(scope="session", autouse=True)
def crowded_parent(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    for name in COMMON:
        (base / name).mkdir(exist_ok=True)
    for name in BROKEN:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("{ broken: [")


@pytest.fixture(scope="session", autouse=True)
def plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        leases = tmp_path_factory.getbasetemp() / "leases"  # not those of this machine
        patch.setenv("BENCH_LEASES", str(leases))
        yield
