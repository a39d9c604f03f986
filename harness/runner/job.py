"""The contract between orchestrator and device: a job's request and result.

Paths are as seen by the job. A file of another version is rejected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Literal, Optional, Tuple

from ..records import (
    Arrivals,
    DeviceState,
    ModelSpec,
    PhaseMemory,
    Placement,
    Precision,
)

VERSION = 2

Mode = Literal["convert", "outputs", "predict", "profile", "passes", "trial"]


@dataclass(frozen=True)
class MeasureOptions:
    """The measuring rules of one trial; see docs/measurement.md."""

    min_samples: int
    min_s: float
    cap_s: float
    warmup_min_runs: int = 10
    warmup_min_s: float = 1.0
    warmup_cap_s: float = 20.0
    steady_percent: float = 2.0
    interval_percent: float = 1.0
    stages_min_runs: int = 32
    stages_cap_s: float = 5.0
    #: real ones that a trial rotates through
    pictures: int = 16
    #: how samples arrive, see runner/patterns, and the pattern's own options as plain JSON
    pattern: str = "single"
    options: Dict[str, Any] = field(default_factory=dict)
    #: draws what a pattern draws, the same for every format and night
    seed: int = 0
    #: MLCommons LoadGen drives the model instead of our own loop
    loadgen: bool = False


PROFILES = {
    # whether it works at all, on whatever machine: what it times is no number to go by
    "smoke": MeasureOptions(
        min_samples=8,
        min_s=0.0,
        cap_s=3.0,
        warmup_min_runs=2,
        warmup_min_s=0.0,
        warmup_cap_s=3.0,
        steady_percent=100.0,
        interval_percent=100.0,
        stages_min_runs=2,
        stages_cap_s=3.0,
        pictures=4,
    ),
    "quick": MeasureOptions(min_samples=64, min_s=1.0, cap_s=10.0),
    "full": MeasureOptions(min_samples=662, min_s=10.0, cap_s=60.0, stages_min_runs=128),
    # LoadGen's own loop; a submission to MLPerf needs min_s=600, and its rules
    "mlperf": MeasureOptions(min_samples=1024, min_s=60.0, cap_s=600.0, loadgen=True),
}
TRIALS = {"smoke": 1, "quick": 3, "full": 5, "mlperf": 3}

#: profiles of our own loop whose numbers may be believed
TRUSTED = ("quick", "full")
SMOKE_REASON = "profile smoke is only a functional test; use quick or full for results"


@dataclass(frozen=True)
class Pass:
    """An untimed job over the first `images` images of a pack, one of several in a process."""

    mode: Literal["outputs", "predict", "profile"]
    pack: str
    images: int


@dataclass(frozen=True)
class Job:
    """One process; `mode` determines which fields it reads."""

    version: int
    mode: Mode
    format: str
    precision: Precision
    threads: int
    model: ModelSpec
    #: the model's folder
    source: str
    #: file or folder of the converted model; written by `convert`, read by the others
    artifact: str
    #: folder of decoded images or tensors, see tasks/pack.py
    pack: str = ""
    #: how many images of the pack are used: the first ones
    images: int = 0
    measure: Optional[MeasureOptions] = None
    #: CPUs that the process keeps to, where nothing outside of it pins it
    cpus: Tuple[int, ...] = ()
    #: most memory for its data, where nothing outside of it limits it; 0: no limit
    memory_bytes: int = 0
    #: what mode `passes` runs, one after another
    passes: Tuple[Pass, ...] = ()


@dataclass(frozen=True)
class TrialAnswer:
    """`result.json` of a trial; samples are in `samples.npz`. The seconds add up to `process_s`."""

    load_ms: float
    first_ms: float
    import_ms: float
    settled: bool
    stopped_by: Literal["interval", "cap"]
    warmup_s: float
    loop_s: float
    stages_s: float
    process_s: float
    peak_rss_bytes: int
    os_threads: int
    affinity: Tuple[int, ...]
    runtime_version: str
    python_version: str
    before: DeviceState
    after: DeviceState
    memory: Optional[PhaseMemory] = None
    busy_threads: Optional[int] = None
    thread_percent: Tuple[float, ...] = ()
    arrivals: Optional[Arrivals] = None
    #: by so much CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, which samples are stamped with
    boot_offset_s: float = 0.0
    #: outputs that the runtime allocates in each run, since their shape is known only then
    unbound: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ProfileAnswer:
    """`result.json` of a profile; the layers are in `layers.json`, most time first."""

    seconds: float
    runtime_version: str
    placement: Placement
    layers: int


@dataclass(frozen=True)
class Answer:
    """`result.json` of the other modes."""

    seconds: float
    runtime_version: str
    images: int = 0
