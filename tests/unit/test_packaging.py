"""What installs bench itself is locked as all else is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_build_backend_is_in_the_lock_with_its_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lock = (ROOT / "requirements-dev.lock").read_text("utf-8")
    for name in (*project["build-system"]["requires"], "editables"):
        assert re.search(rf"^{name}==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE), name


def test_bench_is_installed_without_fetching_a_backend() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    (line,) = [line for line in makefile.splitlines() if "--editable ." in line]
    assert {"--no-deps", "--no-build-isolation", "--no-index"} <= set(line.split())
