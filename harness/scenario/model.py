"""A model's folder, as described by its model.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..records import ModelSpec
from ..steps.dataset_kinds.source import Source


@dataclass(frozen=True)
class Model:
    """A checked model: its record, its folder, and its datasets by name."""

    spec: ModelSpec
    folder: Path
    datasets: dict[str, Source]
