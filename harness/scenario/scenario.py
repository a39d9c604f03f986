"""A checked scenario as plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..records import Precision
from ..runner.job import MeasureOptions
from .yaml_lines import YamlFile


@dataclass(frozen=True)
class ScoredOn:
    """The dataset to score accuracy on; `images`: how many, evenly spaced."""

    dataset: str
    images: int | None = None


@dataclass(frozen=True)
class Measuring:
    """How cells are measured; see docs/measurement.md."""

    profile: str
    #: the rules of one trial: the profile's, with the pattern and what is asked of it
    options: MeasureOptions
    #: fresh processes of a cell
    trials: int
    #: seeds the order in which trials of a device interleave
    seed: int
    #: of a container, where the device has no limit of its own
    memory_bytes: int
    #: deadline of one conversion or prediction pass
    timeout_s: float


@dataclass(frozen=True)
class Scenario:
    """A matrix model × format × precision × device × threads × batch, and how to measure it."""

    name: str
    models: tuple[str, ...]
    formats: tuple[str, ...]
    precisions: tuple[Precision, ...]
    #: files of devices/, or `label:NAME`
    devices: tuple[str, ...]
    threads: tuple[int, ...]
    batch: tuple[int, ...]
    #: globs on cell ids
    exclude: tuple[str, ...]
    measuring: Measuring
    accuracy: ScoredOn | None
    #: limits by their keys
    gates: Mapping[str, float]
    #: the file that it came from, for messages about its lines
    source: YamlFile
