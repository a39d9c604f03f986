"""Shows what would be deleted, asks, and deletes: for runs, images and the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .shared import confirm

if TYPE_CHECKING:
    from ..housekeeping.deletion import Deletion


def show_and_delete(found: Sequence[Deletion], *, dry_run: bool, yes: bool) -> None:
    """Nothing is deleted with `dry_run`, or without confirmation or `--yes`."""
    from . import console, stored_text
    from .human import size

    if not found:
        console.say("nothing to delete")
        return
    rows = [stored_text.deletion_row(one) for one in found]
    console.show_rows("", stored_text.DELETION_COLUMNS, rows)
    total = size(sum(one.size_bytes or 0 for one in found))
    least = "at least " if any(one.size_bytes is None for one in found) else ""
    count = f"{len(found)} item{'' if len(found) == 1 else 's'}, {least}{total}"
    if dry_run:
        console.say(f"would delete {count}")
        return
    confirm(f"Delete {count}?", yes)
    for one in found:
        one.delete()
    console.say(f"deleted {count}")
