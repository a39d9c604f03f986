"""The figures of a long run as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .pieces import Counted

BEGIN: Final = "<!-- made by `make fuzz` -->\n\n"
HEAD: Final = (
    "| reader | inputs | rejected | accepted | slowest, ms | peak memory, MB | seconds | seed |\n"
    "|---|---:|---:|---:|---:|---:|---:|---|\n"
)


@dataclass(frozen=True)
class Row:
    """All pieces of one reader."""

    name: str
    inputs: int
    taken: int
    slowest_ms: float
    peak_mb: float
    seconds: float
    seed: str
    failures: int

    @property
    def line(self) -> str:
        rejected = self.inputs - self.taken - self.failures
        failed = f" (**{self.failures} failures**)" if self.failures else ""
        return (
            f"| {self.name}{failed} | {self.inputs:,} | {rejected:,} | {self.taken:,} | "
            f"{self.slowest_ms:,.0f} | {self.peak_mb:,.0f} | {self.seconds:,.0f} | {self.seed} |\n"
        )


def rows(names: Sequence[str], done: Sequence[Counted]) -> list[Row]:
    """One a reader, and the sum of all."""
    made = [_row(name, [one for one in done if one.target == name]) for name in names]
    return [*made, _row("all", done)]


def _row(name: str, of: Sequence[Counted]) -> Row:
    return Row(
        name,
        sum(one.inputs for one in of),
        sum(one.taken for one in of),
        max((one.slowest_ms for one in of), default=0.0),
        max((one.peak_mb for one in of), default=0.0),
        sum(one.seconds for one in of),
        of[0].seed.partition("/")[0] if of else "",
        sum(len(one.failures) for one in of),
    )


def table(made: Sequence[Row]) -> str:
    return HEAD + "".join(row.line for row in made)


def write(page: Path, made: Sequence[Row]) -> None:
    """The table of a page, exchanged for this one; it ends the page."""
    before, mark, _ = page.read_text("utf-8").partition(BEGIN)
    page.write_text(f"{before}{mark}{table(made)}", "utf-8")
