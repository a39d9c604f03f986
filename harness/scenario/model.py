"""A model's folder, as described by its model.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..records import ModelSpec
from ..steps.dataset_kinds.source import Source
from ..steps.tensor_data import Generator


@dataclass(frozen=True)
class Model:
    """A checked model: its record, its folder, and its datasets by name."""

    spec: ModelSpec
    folder: Path
    datasets: dict[str, Source]
    #: how inputs are generated, by their names
    generators: dict[str, Generator] = field(default_factory=dict)

    @property
    def first_dataset(self) -> Source | None:
        """The one for parity and timing where none is named."""
        return next(iter(self.datasets.values()), None)
