"""A model's folder, as described by its model.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..records import ModelSpec


@dataclass(frozen=True)
class Model:
    """A checked model: its record, its folder, and the folders of its datasets by name."""

    spec: ModelSpec
    folder: Path
    datasets: dict[str, Path]
