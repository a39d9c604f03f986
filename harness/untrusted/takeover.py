"""Takes over the files that a job was run for; nothing else leaves the folder that it wrote to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .budget import Allowance, Leaf, free_bytes
from .files import copy, handle
from .names import NotTaken
from .removal import remove


def take_over(leaves: Sequence[Leaf], source: int, folder: Path) -> None:
    """Copy the files of `leaves` from `source`, an open folder, to `folder`: all or none.

    Raises StepFailed for a leaf that is missing or cannot be taken over; OSError.
    """
    made: list[Path] = []
    try:
        with handle(folder) as target:
            for leaf in (leaf for leaf in leaves if _is_there(leaf, source)):
                made.append(folder / leaf.name)
                allowance = Allowance(leaf.budget, free_bytes(target))
                copy(leaf.name, source, leaf.name, target, allowance)
    except (NotTaken, OSError):
        for path in made:
            remove(path)
        raise


def _is_there(leaf: Leaf, source: int) -> bool:
    """Raises StepFailed if a required one is missing."""
    try:
        os.stat(leaf.name, dir_fd=source, follow_symlinks=False)
    except FileNotFoundError:
        if leaf.required:
            raise NotTaken(f"the job did not write {leaf.name}") from None
        return False
    return True
