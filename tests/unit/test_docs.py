"""The generated pages of docs/ are current, and each export column has a meaning there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.make_docs import MEANINGS, OUT, pages

from harness import export
from harness.tasks.decoders import REGISTRY as DECODERS

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_current(name: str) -> None:
    assert (OUT / name).read_text("utf-8") == pages()[name], "run `make generated`"


def test_every_export_column_of_ours_and_no_other_is_described() -> None:
    assert set(MEANINGS) == set(export.COLUMNS)


def test_every_attack_that_is_described_has_its_test() -> None:
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs/security.md").read_text("utf-8")))
    folder = REPOSITORY / "tests"
    there = {
        name
        for path in folder.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
    }
    assert named
    assert named <= there, named - there


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_is_in_the_table_with_its_models_and_roles(name: str) -> None:
    lines = (REPOSITORY / "docs/adding.md").read_text("utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{name}`")]
    spec = DECODERS[name].SPEC
    assert spec.about.split(" (with")[0] in row
    for one in spec.outputs:
        assert one.role in row or one.role in ("predictions", "heads")
    for option in (*spec.options, "box_order", "box_units"):
        assert any(line.startswith("| `") and f"`{option}`" in line for line in lines), option
