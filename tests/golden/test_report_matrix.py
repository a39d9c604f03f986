"""The matrix page of a made-up run, kept whole: a change of the page is a change of this file.

To accept a change: `UPDATE_GOLDEN=1 python -m pytest tests/golden`, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

from example_run.run import example

from harness.report.build import build

GOLDEN = Path(__file__).with_name("matrix.html")


def test_the_matrix_page_is_as_it_was(tmp_path: Path) -> None:
    page = build(example(tmp_path / "run", samples=80), tmp_path / "report").read_text("utf-8")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")
