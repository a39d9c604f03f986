"""The generated pages of docs/ are current, and each export column has a meaning there."""

from __future__ import annotations

import pytest
from tools.make_docs import MEANINGS, OUT, pages

from harness import export


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_current(name: str) -> None:
    assert (OUT / name).read_text("utf-8") == pages()[name], "run `make generated`"


def test_every_export_column_of_ours_and_no_other_is_described() -> None:
    assert set(MEANINGS) == set(export.COLUMNS)
