"""A device's part of a run as a plain, serialisable record, so that it can be queued.

Cache paths are relative, so that they are valid on another machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..records import Artifact, Cell, DeviceSpec, ModelSpec, Scores
from ..runner.job import MeasureOptions


@dataclass(frozen=True)
class RunRules:
    """How the cells of a run are checked and measured."""

    options: MeasureOptions
    trials: int
    #: draws the order in which the trials of a device interleave
    seed: int
    #: memory limit of a job, where the device's file has none of its own
    memory_bytes: int
    #: deadline of one conversion or prediction pass, seconds
    timeout_s: float
    #: real images that go through the model and its reference
    parity_images: int
    #: runs of the pass that asks the runtime what ran where; 0: it is not asked
    profile_runs: int


@dataclass(frozen=True)
class ModelInputs:
    """What the cells of one model need besides their artifacts."""

    spec: ModelSpec
    #: the model's folder on this machine, for formats that need its source
    folder: str
    #: packs in the cache: a few images for parity and timing, and all of them for accuracy
    few_pack: str
    full_pack: str
    #: how many images `full_pack` has
    images: int
    dataset: str
    #: COCO annotation file
    annotations: str
    #: the fp32 reference's raw outputs on the images of `few_pack`, in the cache
    reference_outputs: str
    #: the fp32 reference's accuracy; None: accuracy is not asked for
    reference_scores: Scores | None = None


@dataclass(frozen=True)
class CellJob:
    """One cell, and what this machine prepared for it."""

    cell: Cell
    started_at: str
    #: None: it is to be converted on the device
    artifact: Artifact | None = None


@dataclass(frozen=True)
class DeviceJob:
    """Everything needed to measure a run's cells on one device."""

    run_id: str
    profile: str
    device: DeviceSpec
    #: `docker` or `venv`: what builds the images of this machine
    engine: str
    cells: tuple[CellJob, ...]
    models: dict[str, ModelInputs]
    rules: RunRules
