"""The user's YAML files, checked: scenarios, models, devices. With `sections` and `mistakes` the
one place that knows pydantic: what is read leaves as frozen records.

All mistakes of a file are reported at once, each as `path:line: what`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, create_model
from pydantic_core import PydanticCustomError

from .. import kinds, tasks, transports
from ..errors import ConfigError
from ..records import DeviceSpec, ModelSpec, Precision, split_format
from ..runner import patterns
from ..runner.job import PROFILES, TRIALS
from ..tasks import decoders
from . import dataset_files, input_files, model_file, yaml_lines
from .dataset_files import DatasetEntry
from .input_files import InputFile
from .mistakes import MOST_MISTAKES, checked, neighbours
from .model import Model
from .scenario import Measuring, Scenario, ScoredOn
from .sections import Gates, Measure, Strict, gates_type, measure_type
from .yaml_lines import YamlFile, shown

#: the kind of source of a model without `source`: a module and its weights
REFERENCE: Final = "pytorch"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]

FormatName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=80)
]


def Registered(registry: Mapping[str, object]) -> Any:  # noqa: N802  # reads like a type
    """A string that must name one of the registry's entries."""

    def check(value: str) -> str:
        if value not in registry:
            raise PydanticCustomError(
                "literal_error", "", {"expected": ", ".join(f"'{name}'" for name in registry)}
            )
        return value

    def enum(schema: dict[str, Any]) -> None:
        schema["enum"] = list(registry)

    return Annotated[str, AfterValidator(check), Field(json_schema_extra=enum)]


class Matrix(Strict):
    """Options that multiply the matrix."""

    threads: list[Annotated[int, Field(ge=1, le=256)]] = Field(
        [1], min_length=1, description="Numbers of runtime threads; one cell each."
    )
    batch: list[Annotated[int, Field(ge=1, le=1024)]] = Field(
        [1], min_length=1, description="Batch sizes; a model with a fixed batch skips the others."
    )


class Accuracy(Strict):
    """The dataset to score accuracy on."""

    dataset: Name = Field(description="Name of a dataset in model.yaml.")
    images: int | None = Field(
        None, ge=1, description="Number of images, evenly spaced; default: all."
    )


class ScenarioFile(Strict):
    """A matrix model × format × precision × device and how to measure it."""

    name: Name = Field(description="Part of the id of each run.")
    models: list[Name] = Field(min_length=1, description="Model names: folders in models/.")
    formats: list[FormatName] = Field(
        min_length=1,
        description="Formats, such as tflite, or tflite@onnx2tf for a file made with that tool; "
        "see `bench formats`.",
    )
    precisions: list[Precision] = Field(
        default_factory=lambda: ["fp32"],  # type: ignore[arg-type]
        min_length=1,
        description="Precisions that a format does not support are skipped; default: fp32.",
    )
    devices: list[Annotated[str, Field(pattern=r"^(label:)?[A-Za-z0-9][A-Za-z0-9._-]*$")]] = Field(
        default_factory=lambda: ["local"],
        min_length=1,
        description="Device names, or label:NAME for all devices with a label; default: local.",
    )
    matrix: Matrix = Field(default_factory=Matrix)  # type: ignore[arg-type]
    exclude: list[str] = Field(default_factory=list, description="Globs on cell ids.")
    measure: Measure = Field(default_factory=Measure)  # type: ignore[arg-type]
    accuracy: Accuracy | None = None
    gates: Gates = Field(default_factory=Gates)  # type: ignore[arg-type]


def scenario_type() -> type[ScenarioFile]:
    """ScenarioFile with the currently registered patterns and gates."""
    return _scenario_type(measure_type(), gates_type())


@lru_cache(maxsize=4)
def _scenario_type(measure: type[Measure], gates: type[Gates]) -> type[ScenarioFile]:
    fields: dict[str, Any] = {
        "measure": (measure, Field(default_factory=measure)),
        "gates": (gates, Field(default_factory=gates)),
    }
    return create_model(
        "ScenarioFile", __base__=ScenarioFile, __doc__=ScenarioFile.__doc__, **fields
    )


class ModelFile(Strict):
    """models/<name>/model.yaml."""

    task: Registered(tasks.REGISTRY) = Field(  # type: ignore[valid-type]
        description="How images are prepared and outputs decoded."
    )
    source: str | None = Field(
        None,
        description=f"File of the model ({', '.join(model_file.SUFFIXES)}), or a SavedModel's "
        "folder, instead of `module` and `weights`.",
    )
    kind: Literal[model_file.KINDS] | None = Field(  # type: ignore[valid-type]
        None, description="Kind of `source`; default: by its suffix."
    )
    module: str | None = Field(
        None, description="Python file with the architecture in PyTorch; default: network.py."
    )
    function: str = Field(
        "build", description="Function in that file that returns the torch.nn.Module."
    )
    weights: str | None = Field(None, description="State dict, loaded with weights_only=True.")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of `weights`, where it is required, or of `source`.",
    )
    input: InputFile | None = Field(None, description="The model's input tensor.")
    inputs: list[InputFile] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Its input tensors, in order, instead of `input`, if it has several.",
    )
    outputs: list[str] = Field(min_length=1, description="Names of the module's outputs, in order.")
    classes: list[str] = Field(
        default_factory=list,
        description="Class names; the index is the label. Required for images.",
    )
    decoder: Registered(decoders.REGISTRY) | None = Field(  # type: ignore[valid-type]
        None, description="How raw outputs become boxes and scores; default: boxes-scores."
    )
    options: dict[str, str | int | float | bool | list[float] | list[list[float]]] = Field(
        default_factory=dict, description="Options of the task and decoder: score_threshold, …"
    )
    datasets: dict[Name, DatasetEntry] = Field(
        default_factory=dict,
        description="Dataset name: its path, or a mapping; see docs/how-to/dataset.md.",
    )


class DeviceFile(Strict):
    """devices/<name>.yaml."""

    kind: Registered(kinds.REGISTRY) = Field(description="Kind of device.")  # type: ignore[valid-type]
    transport: Registered(transports.REGISTRY) = Field(  # type: ignore[valid-type]
        description="How bench connects to it."
    )
    address: str = Field("", description="Address; see docs/transports.md.")
    labels: list[Name] = Field(
        default_factory=list,
        description="label:NAME in a scenario selects all devices with that label.",
    )
    description: str = Field("", description="Free text.")
    emulated: bool = Field(
        False, description="Latencies are shown as not representative of hardware."
    )
    cool_below_c: float | None = Field(
        None, gt=0, lt=120, description="Trials wait until the hottest sensor is below this, °C."
    )
    memory_mb: int | None = Field(None, ge=64, description="Memory limit of a job there, MB.")
    storage_mb: int = Field(2000, ge=50, description="Quota for bench's files there, MB.")
    min_battery_percent: float = Field(
        30.0, ge=0, le=100, description="Nothing is measured below this charge, %."
    )
    steady: list[Name] = Field(
        default_factory=list, description="Measures to reduce noise; see docs/devices.md."
    )
    cpus: list[Annotated[int, Field(ge=0, le=1023)]] = Field(
        default_factory=list, description="CPUs for measured jobs; default: the fastest."
    )


def read_scenario(path: Path, known: Mapping[str, Sequence[str]] | None = None) -> Scenario:
    """Raises ConfigError with every mistake in the file; `known` as for `unknown_names`."""
    source = yaml_lines.read(path)
    try:
        file = checked(scenario_type(), source)
    except ConfigError as error:
        raise ConfigError([*error.mistakes, *unknown_names(source, known or {})]) from None
    accuracy = file.accuracy
    return Scenario(
        name=file.name,
        models=tuple(file.models),
        formats=tuple(file.formats),
        precisions=tuple(file.precisions),
        devices=tuple(file.devices),
        threads=tuple(file.matrix.threads),
        batch=tuple(file.matrix.batch),
        exclude=tuple(file.exclude),
        measuring=_measuring(file.measure),
        accuracy=ScoredOn(accuracy.dataset, accuracy.images) if accuracy else None,
        gates=file.gates.limits(),
        source=source,
    )


def _measuring(asked: Measure) -> Measuring:
    spec = patterns.find(asked.pattern).SPEC
    smoke = spec.smoke if asked.profile == "smoke" else {}
    options = replace(
        PROFILES[asked.profile],
        pattern=asked.pattern,
        options={**asked.options(), **smoke},
        seed=asked.seed,
    )
    return Measuring(
        profile=asked.profile,
        options=options,
        trials=asked.trials or TRIALS[asked.profile],
        seed=asked.seed,
        memory_bytes=asked.memory_mb * 10**6,
        timeout_s=asked.timeout_s,
    )


def unknown_names(source: YamlFile, known: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each name in a list (such as `models`) that is not in `known`."""
    data = source.data if isinstance(source.data, dict) else {}
    lists = {key: data[key] for key in known if isinstance(data.get(key), list)}
    return [
        f"{source.where((key, i))}: {key}: unknown {key[:-1]} '{name}'"
        + neighbours(split_format(name)[0], known[key])
        for key, names in lists.items()
        for i, name in enumerate(names[:MOST_MISTAKES])
        if isinstance(name, str)
        and split_format(name)[0] not in known[key]
        and not name.startswith("label:")
    ]


def read_model(folder: Path) -> Model:
    """Raises ConfigError with mistakes in model.yaml and missing files."""
    source = yaml_lines.read(folder / "model.yaml")
    file = checked(ModelFile, source)
    kind, module = _model_kind(file, folder), file.module or "network.py"
    weights = file.weights or ""
    inputs = _inputs(file)
    if lines := [*_input_mistakes(file, source, kind or "")]:
        raise ConfigError(lines)
    mistakes = _source_mistakes(file, source, folder, kind)
    if mistakes:
        raise ConfigError(mistakes, "Give paths relative to the folder of model.yaml.")
    spec = ModelSpec(
        name=folder.name,
        task=file.task,
        module="" if file.source else module,
        function="" if file.source else file.function,
        weights=file.source or weights,
        weights_sha256=file.sha256 or model_file.sha256(folder / (file.source or weights)),
        inputs=tuple(one.spec() for _, one in inputs),
        outputs=tuple(file.outputs),
        classes=tuple(file.classes),
        task_options={key: frozen(value) for key, value in file.options.items()},
        decoder=file.decoder or "",
        source=kind or "",
    )
    lines = [f"{source.where((key,))}: {key}: {what}" for key, what in decoders.mistakes(spec)]
    if lines := [*lines, *_unknown_options(spec, source)]:
        raise ConfigError(lines, "See the tables of decoders and options in docs/adding.md.")
    found = dataset_files.sources(file.datasets, file.classes, folder, source)
    generators = {one.name: one.generate.generator() for _, one in inputs if one.generate}
    return Model(spec=spec, folder=folder, datasets=found, generators=generators)


def _inputs(file: ModelFile) -> list[tuple[str, InputFile]]:
    """Each input with its key in model.yaml."""
    if file.input:
        return [("input", file.input)]
    return [(f"inputs[{at}]", one) for at, one in enumerate(file.inputs or ())]


def _input_mistakes(file: ModelFile, source: YamlFile, kind: str) -> Iterator[str]:
    if (file.input is None) == (file.inputs is None):
        missing = "missing" if file.input is None else "cannot be given with `inputs`"
        yield f"{source.where(('input',))}: input: {missing}"
        return
    if not file.classes and tasks.takes_images(file.task):
        yield f"{source.where(('classes',))}: classes: missing"
    for key, what in input_files.mistakes(_inputs(file), file.task, kind, file.options):
        steps = re.findall(r"\w+", key)
        path = tuple(int(step) if step.isdigit() else step for step in steps)
        yield f"{source.where(path)}: {key}: {what}"


def _unknown_options(spec: ModelSpec, source: YamlFile) -> list[str]:
    """A line for each option that neither the task nor the decoder reads."""
    known = tasks.options_of(spec)
    return [
        f"{source.where(('options', name))}: options.{name}: unknown option"
        + neighbours(name, known)
        for name in list(spec.task_options)[:MOST_MISTAKES]
        if name not in known
    ]


def frozen(value: Any) -> Any:
    """A value of YAML with its lists as tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def _model_kind(file: ModelFile, folder: Path) -> str | None:
    """None if it is not said, and the suffix does not tell."""
    if file.source is None:
        return REFERENCE
    return file.kind or model_file.kind_by_name(folder / file.source)


def _source_mistakes(
    file: ModelFile, source: YamlFile, folder: Path, kind: str | None
) -> list[str]:
    if file.source is None:
        return _module_mistakes(file, source, folder)
    both = [key for key in ("module", "weights") if getattr(file, key) is not None]
    if both:
        return [f"{source.where((key,))}: {key}: cannot be given with `source`" for key in both]
    where, path = source.where(("source",)), folder / file.source
    if kind is None:
        known = ", ".join(model_file.SUFFIXES)
        return [f"{where}: source: unknown suffix of {file.source}; use {known}, or add `kind:`"]
    if Path(os.path.normpath(file.source)).parts[:1] in (("/",), ("//",), ("..",)):
        return [f"{where}: source: {file.source}: outside of the model's folder"]
    try:
        wrong = model_file.mistake(path, kind)
    except OSError as error:
        wrong = f"{shown(path)}: {error.strerror or error}"
    return [f"{where}: source: {file.source}: {wrong}"] if wrong else []


def _module_mistakes(file: ModelFile, source: YamlFile, folder: Path) -> list[str]:
    missing = [key for key in ("weights", "sha256") if getattr(file, key) is None]
    if missing:
        return [f"{source.where(())}: {key}: missing" for key in missing]
    return [
        f"{source.where((key,))}: {key}: no such file: {shown(folder / name)}"
        for key, name in (("module", file.module or "network.py"), ("weights", file.weights or ""))
        if not os.path.isfile(folder / name)  # noqa: PTH113  # pathlib raises if it is too long
    ]


def read_device(path: Path) -> DeviceSpec:
    """Raises ConfigError with every mistake in the file."""
    source = yaml_lines.read(path)
    file = checked(DeviceFile, source)
    if mistakes := _unknown_measures(file, source):
        raise ConfigError(mistakes)
    return DeviceSpec(
        name=path.stem,
        kind=file.kind,
        transport=file.transport,
        address=file.address,
        labels=tuple(file.labels),
        description=file.description,
        emulated=file.emulated,
        cool_below_c=file.cool_below_c,
        memory_mb=file.memory_mb,
        storage_mb=file.storage_mb,
        min_battery_percent=file.min_battery_percent,
        steady=tuple(file.steady),
        cpus=tuple(file.cpus),
    )


def _unknown_measures(file: DeviceFile, source: YamlFile) -> list[str]:
    """Entries of `steady` that the kind does not have."""
    known = list(kinds.find(file.kind).SPEC.measures)
    return [
        f"{source.where(('steady', i))}: steady[{i}]: unknown measure '{name}' for {file.kind}"
        + neighbours(name, known)
        for i, name in enumerate(file.steady)
        if name not in known
    ]


def schema() -> dict[str, Any]:
    """JSON schema of a scenario, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **scenario_type().model_json_schema(),
        "title": "bench scenario",
    }
