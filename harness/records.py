"""The records of a run, in the order in which it creates them: frozen, plain, serialisable.

They are copied to devices with the runner, so this file needs nothing but Python 3.8.
A name ends with its unit; arrays are in files next to the records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Literal, Optional, Tuple, Union

Precision = Literal["fp32", "fp16", "int8"]
Layout = Literal["NCHW", "NHWC"]
Status = Literal["ok", "failed", "skipped"]
Verdict = Literal["valid", "suspect", "invalid"]
Step = Literal[
    "plan", "images", "convert", "parity", "deploy", "measure", "score", "store", "report"
]
Scalar = Union[str, int, float, bool, None]
#: a value of a model's `options`
Option = Union[str, int, float, bool, None, Tuple[float, ...], Tuple[Tuple[float, ...], ...]]

PRECISIONS: Tuple[Precision, ...] = ("fp32", "fp16", "int8")


# ---- what is asked for -------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantisation:
    """Of integers: real value = scale * (integer - zero_point)."""

    scale: float
    zero_point: int = 0


@dataclass(frozen=True)
class TensorSpec:
    """One input of a model; the first one's `shape` has the batch first."""

    name: str
    shape: Tuple[int, ...]
    dtype: str = "float32"
    #: of an image's four dimensions
    layout: Layout = "NCHW"
    #: as the runtime reports it of a file; never written by hand
    quantisation: Optional[Quantisation] = None

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width of an image."""
        height, width = self.shape[1:3] if self.layout == "NHWC" else self.shape[-2:]
        return height, width


@dataclass(frozen=True)
class ModelSpec:
    """A model: which file it is in, and what its tensors mean.

    `module` and `weights` are paths relative to the model's folder. `source` is the kind of the
    file `weights`: the name of the format that loads it. Only `pytorch` needs a `module`.
    """

    name: str
    task: str
    module: str
    function: str
    weights: str
    weights_sha256: str
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[str, ...]
    classes: Tuple[str, ...]
    task_options: Dict[str, Option] = field(default_factory=dict)
    #: how its raw outputs are read, see tasks/decoders; empty: the task's own convention
    decoder: str = ""
    source: str = "pytorch"

    @property
    def input(self) -> TensorSpec:
        """The one input of a model of images; the first of several."""
        return self.inputs[0]

    @property
    def batch(self) -> int:
        """The first dimension of the first input; 1 for a single value."""
        return self.input.shape[0] if self.input.shape else 1


@dataclass(frozen=True)
class Conversion:
    """A way to create a format's file from a file of the kind `source`, a format's name."""

    source: str
    tool: str
    #: folder under dockerfiles/ of the image that it runs in
    image: str


@dataclass(frozen=True)
class FormatSpec:
    """What a format can do; the rest is in `formats/<name>.py` and `dockerfiles/<image>/`."""

    name: str
    title: str
    suffix: str
    #: precision -> how the runtime stores and computes it; shown in the report
    precisions: Dict[str, str]
    #: folder under dockerfiles/ of the image that runs it
    image: str
    #: the format whose file it runs, and whose `convert` creates it; mostly the format itself
    converter: str
    #: the import name whose version is the runtime's version
    runtime: str
    #: precision -> why the format lacks it
    lacks: Dict[str, str] = field(default_factory=dict)
    #: what its `convert` can start from; see `formats.routes`
    conversions: Tuple[Conversion, ...] = ()
    #: whether loading needs the model's own Python code
    needs_source: bool = False
    #: where the file is made: on this machine, or on each device for itself
    converted_on: Literal["host", "device"] = "host"
    #: modules of the runtime that its own import leaves out, so that no import is in `load_ms`
    imports: Tuple[str, ...] = ()
    #: kinds of device that it can run on; `formats.why_not` says so of the others
    kinds: Tuple[str, ...] = ("linux", "jetson", "android", "macos")
    #: architectures that its runtime supports, as reported by uname
    architectures: Tuple[str, ...] = ("x86_64", "aarch64")
    #: accelerators of which it needs one: `cpu`, `cuda`, …
    accelerators: Tuple[str, ...] = ("cpu",)
    #: the module that runs it on a device; `python -m` gets the job's folder
    runner: str = "harness.runner"


@dataclass(frozen=True)
class DeviceSpec:
    """One file of devices/: a machine that runs cells."""

    name: str
    kind: str
    transport: str
    address: str = ""
    labels: Tuple[str, ...] = ()
    description: str = ""
    emulated: bool = False
    #: a trial starts when the hottest sensor is below this
    cool_below_c: Optional[float] = None
    #: memory limit of a job there; the scenario's own when None
    memory_mb: Optional[int] = None
    #: quota for bench's files there
    storage_mb: int = 2000
    min_battery_percent: float = 30.0
    #: measures of its kind that may be applied to reduce noise
    steady: Tuple[str, ...] = ()
    #: CPUs that measured jobs may use; the kind's choice when empty
    cpus: Tuple[int, ...] = ()


@dataclass(frozen=True)
class DeviceFacts:
    """What a device is; constant while it is up. Unknown values are None or empty."""

    kind: str
    #: `x86_64`, `aarch64`, … as uname says
    arch: str
    os: str
    model: Optional[str] = None
    soc: Optional[str] = None
    #: OS build, kernel, and driver, L4T or JetPack version
    build: Optional[str] = None
    driver: Optional[str] = None
    cpus: Tuple[int, ...] = ()
    #: the fast ones of them, best last; all where they are alike
    big_cpus: Tuple[int, ...] = ()
    memory_total_bytes: Optional[int] = None
    #: the kind's workdir with the home folder filled in, and what is free there
    workdir: str = ""
    free_bytes: Optional[int] = None
    #: `3.11.2`, where the device has a Python of its own that the runner can use
    python: Optional[str] = None
    #: server version, if a daemon answers this user
    docker: Optional[str] = None
    nvidia_runtime: bool = False
    #: glibc, musl or bionic; decides which venv could work
    libc: Optional[str] = None
    #: `cpus` in the order in which measured jobs get them, best last: one CPU of each core before
    #: its sibling, fast before slow
    cpu_order: Tuple[int, ...] = ()
    #: every such Python, one a minor version; `python` is the first
    pythons: Tuple[str, ...] = ()


def split_format(name: str) -> Tuple[str, str]:
    """`tflite@onnx2tf`, as in a scenario, is the format `tflite` made with the tool `onnx2tf`."""
    format, _, tool = name.partition("@")
    return format, tool


@dataclass(frozen=True)
class Cell:
    """One entry of the matrix."""

    model: str
    #: as in the scenario, with the tool that makes its file if that is chosen: `tflite@onnx2tf`
    format: str
    precision: Precision
    device: str
    threads: int = 1
    batch: int = 1

    @property
    def runs_as(self) -> str:
        """The name of the format that runs it."""
        return split_format(self.format)[0]

    @property
    def id(self) -> str:
        """`<model>-<format>-<precision>-<device>-t<threads>-b<batch>`, also its folder's name."""
        return "-".join(
            (
                self.model,
                self.format,
                self.precision,
                self.device,
                f"t{self.threads}",
                f"b{self.batch}",
            )
        )


@dataclass(frozen=True)
class Skipped:
    """A cell that cannot run, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a run will do, in the scenario's order; `notes` are for information."""

    cells: Tuple[Cell, ...]
    skipped: Tuple[Skipped, ...]
    notes: Tuple[str, ...] = ()


# ---- what the steps make -----------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """A built image (docker) or environment (venv) of one format."""

    name: str
    #: `docker` or `venv` here; on a device `docker`, or the name of the runtime that it has
    engine: str
    #: docker: `bench/<name>:<hash of every input>`; venv: the folder; bundle: its file's name
    reference: str
    #: docker: the image id `sha256:…`; venv: `sha256:` of the installed lock; bundle: of its file
    digest: str
    cached: bool
    seconds: float
    #: what isolated its jobs from the rest of the machine: `docker`, `bubblewrap` or `none`; empty:
    #: not recorded
    confinement: str = ""


@dataclass(frozen=True)
class Artifact:
    """A converted model: one file, named by the hash of all its inputs."""

    path: str
    sha256: str
    size_bytes: int
    key: str
    seconds: float
    cached: bool
    log: str


@dataclass(frozen=True)
class OutputParity:
    """One raw output against the reference over all parity images."""

    name: str
    max_abs: float
    max_rel: float
    cosine: float
    #: largest magnitude in the reference: what `max_abs` is to be read against
    scale: float


@dataclass(frozen=True)
class Parity:
    """A converted model against the fp32 PyTorch reference, on real validation images."""

    ok: bool
    images: int
    outputs: Tuple[OutputParity, ...]
    #: reference detections (score above the task's threshold) and how many are matched
    reference_boxes: int
    matched_boxes: int
    extra_boxes: int
    #: over matched boxes
    min_iou: Optional[float]
    max_score_difference: Optional[float]
    #: every violated rule; empty when ok
    reasons: Tuple[str, ...] = ()
    #: metric of this cell over metric of the fp32 reference, if scored
    metric_ratio: Optional[float] = None
    #: the fp32 reference's accuracy, by export column
    reference_metrics: Dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CpuPolicy:
    """CPUs that share a clock, as reported by cpufreq."""

    name: str
    governor: str
    min_khz: Optional[int] = None
    current_khz: Optional[int] = None
    max_khz: Optional[int] = None


@dataclass(frozen=True)
class DeviceState:
    """A device at one moment; an unknown reading is None."""

    taken_at: str
    cpu_model: Optional[str] = None
    cores: Optional[int] = None
    governor: Optional[str] = None
    frequency_khz: Optional[Tuple[int, ...]] = None
    hottest_c: Optional[float] = None
    load_1m: Optional[float] = None
    #: share of the last 10 s in which some task waited for a CPU (pressure stall information)
    cpu_pressure_percent: Optional[float] = None
    memory_available_bytes: Optional[int] = None
    memory_total_bytes: Optional[int] = None
    battery_percent: Optional[float] = None
    os: Optional[str] = None
    #: every plausible sensor by its zone's name
    temperatures_c: Dict[str, float] = field(default_factory=dict)
    #: whether the system reports throttling; None: unknown
    throttled: Optional[bool] = None
    storage_free_bytes: Optional[int] = None
    charging: Optional[bool] = None
    policies: Tuple[CpuPolicy, ...] = ()
    #: a Jetson's, as nvpmodel names it
    power_mode: Optional[str] = None
    #: power of the whole board, from its own sensor
    power_mw: Optional[float] = None


@dataclass(frozen=True)
class PhaseMemory:
    """Resident memory of a trial's process up to each phase, in the order they run; absolute.

    `how`: `peak` is the phase's maximum; `end` is the value at its end, used where the
    system cannot reset a process's peak.
    """

    #: interpreter, numpy and the images, before the runtime is imported
    base_rss_bytes: int
    import_rss_bytes: int
    load_rss_bytes: int
    #: first run, warm-up and timed loop
    infer_rss_bytes: int
    how: Literal["peak", "end"]


@dataclass(frozen=True)
class RateTried:
    """One rate of the `server` pattern; responses are completion minus scheduled arrival."""

    rate_hz: float
    n: int
    p50_ms: float
    #: None: too few samples, or ended early because too many were late
    p99_ms: Optional[float]
    worst_ms: float
    #: samples over the bound
    late: int
    #: no more than 1 % of the planned samples were late; None: its time was over before that was
    #: known
    kept: Optional[bool]


@dataclass(frozen=True)
class LoadgenResult:
    """LoadGen's own percentiles and verdict on a loop that it drove."""

    version: str
    scenario: str
    valid: bool
    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Arrivals:
    """What a pattern reports besides the latency of the runtime's call; None: not applicable.

    Response time is completion minus scheduled arrival: it includes queueing and the copy into the
    runtime's input. Percentiles need as many samples as elsewhere.
    """

    #: name of a module of runner/patterns
    pattern: str
    n: int
    seconds: float
    #: images per second, including the copy of each input
    samples_per_s: float
    #: asked for
    rate_hz: Optional[float] = None
    response_p50_ms: Optional[float] = None
    response_p90_ms: Optional[float] = None
    response_p99_ms: Optional[float] = None
    #: images that a newer one replaced before the model was free
    dropped: int = 0
    bound_ms: Optional[float] = None
    rates: Tuple[RateTried, ...] = ()
    #: the highest rate that met its bound; None if none is known to
    best_rate_hz: Optional[float] = None
    #: medians of the first and the last minute (a tenth of the time, when that is shorter)
    first_minute_ms: Optional[float] = None
    last_minute_ms: Optional[float] = None
    loadgen: Optional[LoadgenResult] = None
    #: further figures of the pattern
    figures: Dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One line of `layers.json`: a node, kernel or operator as the runtime counts it."""

    name: str
    type: str
    #: provider, delegate or plugin that ran it
    where: str
    #: mean of a run, and share of all layers; None where the runtime gives no times
    ms: Optional[float] = None
    share: Optional[float] = None
    #: calls per run, if the runtime groups equal ones
    count: int = 1


@dataclass(frozen=True)
class Placed:
    """All nodes that one provider or delegate ran."""

    where: str
    nodes: int
    node_share: float
    time_share: Optional[float] = None


@dataclass(frozen=True)
class Placement:
    """Where each layer ran, as reported by the runtime in a separate pass that is never timed."""

    #: the provider, delegate or plugin that the format asks for
    asked: str
    placed: Tuple[Placed, ...]
    #: what ran elsewhere, with its share
    unasked: Tuple[str, ...]
    #: True if the requested provider ran nothing
    refused: bool
    #: source of the data
    tool: str
    runs: int
    #: sum of all layers of a run
    total_ms: Optional[float] = None


@dataclass(frozen=True)
class Reading:
    """The sensor readings at one moment of a trial; absent means unknown.

    Sensors have the system's names, with `#2` for the second of the same name. A temperature
    may be implausible: `monitor` judges that.
    """

    #: seconds since boot, sleep included (CLOCK_BOOTTIME)
    at_s: float
    #: by the CPU's number; one clock of several CPUs is given for each of them
    frequency_khz: Dict[str, int] = field(default_factory=dict)
    #: what the system lets a CPU reach at this moment
    limit_khz: Dict[str, int] = field(default_factory=dict)
    temperatures_c: Dict[str, float] = field(default_factory=dict)
    #: state of each cooling device; 0 is off
    cooling: Dict[str, int] = field(default_factory=dict)
    #: hardware throttling events since boot
    throttle_counts: Dict[str, int] = field(default_factory=dict)
    #: Android's: 0 none, 1 light, 2 moderate, 3 severe, …
    thermal_status: Optional[int] = None
    #: share of the time since the reading before, by the CPU's number
    busy_percent: Dict[str, float] = field(default_factory=dict)
    #: steal time: share of CPU time since then that the hypervisor gave to others
    steal_percent: Optional[float] = None
    #: share of the time since then in which some task waited (pressure stall information)
    cpu_pressure_percent: Optional[float] = None
    memory_pressure_percent: Optional[float] = None
    memory_available_bytes: Optional[int] = None
    #: power at this moment, by rail: `INA3221 VDD_IN`, `battery`
    power_w: Dict[str, float] = field(default_factory=dict)
    #: counters since an unknown moment, by rail: `RAPL package-0`
    energy_uj: Dict[str, int] = field(default_factory=dict)
    battery_percent: Optional[float] = None
    charging: Optional[bool] = None


@dataclass(frozen=True)
class Watched:
    """All readings of a device around one trial, from outside the timed process."""

    readings: Tuple[Reading, ...] = ()
    #: missing readings, and why
    notes: Tuple[str, ...] = ()
    #: CPU time of the sampler on the device, percent of one CPU; None: unknown
    sampler_cpu_percent: Optional[float] = None
    #: rail -> value at which its counter wraps
    counter_range_uj: Dict[str, int] = field(default_factory=dict)
    #: sensors that exist but that this user may not read: `rapl_uj`, `temperature`, …
    unreadable: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Energy:
    """Energy of one inference; None: unknown, and `note` says why."""

    per_inference_mj: Optional[float] = None
    #: of the same rails before the job; subtracted from `mean_w`. None: nothing was subtracted
    idle_w: Optional[float] = None
    #: while inferences ran
    mean_w: Optional[float] = None
    #: quality of the source: `on-board rail: RAPL package-0`, `battery gauge`, …
    tier: str = ""
    note: str = ""


@dataclass(frozen=True)
class Trial:
    """One fresh process: where its raw samples are, and what it reported.

    `samples` is an npz next to the record, int64 nanoseconds, never reduced and never filtered:
    `latency_ns`, `start_ns`, `warmup_ns`, and `pre_ns`, `infer_ns`, `post_ns`, `e2e_ns`. Patterns
    with a schedule add `scheduled_ns` (same clock as `start_ns`), `server` also `rate_index`.
    """

    index: int
    folder: str
    load_ms: float
    first_ms: float
    import_ms: float
    settled: bool
    stopped_by: Literal["interval", "cap"]
    peak_rss_bytes: int
    os_threads: int
    runtime_version: str
    python_version: str
    wall_s: float
    before: DeviceState
    after: DeviceState
    #: CPUs that the process could use
    affinity: Tuple[int, ...] = ()
    #: seconds in warm-up, timed loop and stages; the rest of `wall_s` is start-up and overhead
    warmup_s: float = 0.0
    loop_s: float = 0.0
    stages_s: float = 0.0
    memory: Optional[PhaseMemory] = None
    #: threads with at least a third of the busiest one's time in the loop; None: not known
    busy_threads: Optional[int] = None
    #: CPU time of each thread in percent of the loop, from 1 %, most first
    thread_percent: Tuple[float, ...] = ()
    arrivals: Optional[Arrivals] = None
    #: CPU time of the state sampler beside it, percent of one CPU
    sampler_cpu_percent: Optional[float] = None
    energy: Optional[Energy] = None
    #: warnings from the device's state, and what is unknown of that state
    state_flags: Tuple[str, ...] = ()
    state_notes: Tuple[str, ...] = ()
    #: why earlier attempts of this trial were discarded
    voided: Tuple[str, ...] = ()
    #: why this attempt counts as disturbed, too; empty if it does not
    void: str = ""
    #: offset of the device's time since boot from the samples' clock
    boot_offset_s: float = 0.0
    #: hash of what was measured and how: only equal ones are combined
    made_of: str = ""
    #: outputs that the runtime allocates within each timed run: their shape depends on the input
    unbound: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Statistics over all trials of a cell, from raw samples; ms. None: too few samples."""

    n: int
    trials: int
    p50: Interval
    p90_ms: Optional[float]
    p95_ms: Optional[float]
    p99_ms: Optional[float]
    p999_ms: Optional[float]
    load_ms: float
    first_ms: float
    pre_ms: Optional[float]
    infer_ms: Optional[float]
    post_ms: Optional[float]
    e2e_ms: Optional[float]
    peak_rss_bytes: int
    #: what makes the result suspect, with figures and advice
    flags: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Scores:
    """Accuracy over a dataset; keys are export columns, see `SPEC` of the metric."""

    dataset: str
    images: int
    values: Dict[str, float]
    #: name of the metric; empty: recorded before it was
    metric: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result: the step, what happened, and what to do next."""

    step: Step
    reason: str
    hint: str = ""
    #: `bug`: an exception that bench did not expect
    kind: Literal["error", "bug"] = "error"


@dataclass(frozen=True)
class CellResult:
    """The result of one cell: one line of `results.jsonl`."""

    run_id: str
    cell: Cell
    status: Status
    verdict: Optional[Verdict]
    reasons: Tuple[str, ...]
    started_at: str
    finished_at: str
    failure: Optional[Failure] = None
    image: Optional[Image] = None
    artifact: Optional[Artifact] = None
    parity: Optional[Parity] = None
    trials: Tuple[Trial, ...] = ()
    summary: Optional[Summary] = None
    scores: Optional[Scores] = None
    #: how the precision is stored and computed
    compute: str = ""
    emulated: bool = False
    #: step -> seconds of wall time
    wall_s: Dict[str, float] = field(default_factory=dict)
    placement: Optional[Placement] = None
    #: the conversions from the model's own file: `onnx (torch.onnx) > savedmodel (onnx2tf)`
    route: str = ""


@dataclass(frozen=True)
class RunDevice:
    """`devices/<name>.json` of a run: a device and what the run did with it.

    It has no address, since runs and reports are shared.
    """

    name: str
    kind: str
    transport: str
    labels: Tuple[str, ...] = ()
    description: str = ""
    emulated: bool = False
    facts: Optional[DeviceFacts] = None
    #: measures applied while it was measured, with their values
    held: Tuple[str, ...] = ()
    #: measures that its file allows
    allowed: Tuple[str, ...] = ()
    #: settings of an earlier session, restored at the first contact
    restored: Tuple[str, ...] = ()
    #: why the run excluded it; empty if it did not
    set_aside: str = ""


@dataclass(frozen=True)
class RunInfo:
    """`run.json`: what all cells of a run share."""

    run_id: str
    scenario: str
    profile: str
    started_at: str
    harness_version: str
    harness_sha256: str
    git: str
    engine: str
    plan_sha256: str
    command: str
    host: str = ""
    dataset: str = ""
    finished_at: Optional[str] = None
    #: where the wall time went: step -> seconds
    wall_s: Dict[str, float] = field(default_factory=dict)
    notes: Tuple[str, ...] = ()
    gates: Dict[str, float] = field(default_factory=dict)
    broken_gates: Tuple[str, ...] = ()
    #: of jobs on the machine that bench ran on; see `Image`
    confinement: str = ""
