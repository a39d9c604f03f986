"""From a scenario to cells: what will run, what is skipped and why, and mistakes."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .. import metrics
from ..errors import ConfigError
from ..formats import PLANNED, REGISTRY, why_not
from ..formats.routes import tools, why_no_route
from ..metrics.readiness import scoring_notes
from ..records import Cell, DeviceSpec, FormatSpec, Plan, Skipped, split_format
from ..steps import datasets, tensor_data
from ..steps.measure import IMAGES as SAMPLES
from ..tasks import takes_images
from .config import read_device, read_model, unknown_names
from .mistakes import neighbours
from .model import Model
from .scenario import Scenario

Found = TypeVar("Found")


@dataclass(frozen=True)
class Inventory:
    """The models, devices and formats to choose from."""

    models: dict[str, Model]
    devices: dict[str, DeviceSpec]
    formats: dict[str, FormatSpec]
    #: names of all models there are, read or not
    known_models: tuple[str, ...]


def formats() -> dict[str, FormatSpec]:
    """Every registered format's SPEC by name."""
    return {name: module.SPEC for name, module in REGISTRY.items()}


def known_names(models: Iterable[str], devices: Iterable[str]) -> dict[str, list[str]]:
    """The names that a scenario's lists may contain, by key."""
    return {
        "models": list(models),
        "formats": [*REGISTRY, *PLANNED],
        "devices": list(devices),
    }


def make_plan(scenario: Scenario, inventory: Inventory, only: Sequence[str] = ()) -> Plan:
    """All cells in the scenario's order; raises ConfigError with every unknown name."""
    _check_names(scenario, inventory)
    devices, notes = _choose_devices(scenario, inventory)
    excluded, wanted = _matcher(scenario.exclude), _matcher(only)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    for cell in _matrix(scenario, [d.name for d in devices]):
        if excluded(cell.id) or (only and not wanted(cell.id)):
            continue
        reason = _why_not(cell, inventory)
        if reason:
            skipped.append(Skipped(cell, reason))
        else:
            cells.append(cell)
    if not cells and not skipped:
        raise ConfigError(
            [_empty(scenario, only, notes)], "Name cells that `bench plan --cells` lists."
        )
    return Plan(tuple(cells), tuple(skipped), tuple(notes))


def dataset_notes(scenario: Scenario, inventory: Inventory) -> tuple[str, ...]:
    """Notes on the datasets used for accuracy or, without it, for parity.

    Raises ConfigError with all their mistakes, before anything is built.
    """
    notes: list[str] = []
    mistakes: list[str] = []
    accuracy = scenario.accuracy
    for model in (inventory.models[one] for one in dict.fromkeys(scenario.models)):
        name = accuracy.dataset if accuracy else next(iter(model.datasets), None)
        try:
            if not takes_images(model.spec.task):
                tensor_data.read(model.spec, model.first_dataset, model.generators, SAMPLES)
                continue
            if name is None:
                continue
            found, remarks = datasets.read_annotations(model.datasets[name])
            more = (*remarks, *scoring_notes(found, model.spec)) if accuracy else remarks
        except ConfigError as error:
            mistakes += error.mistakes
            continue
        notes += [f"{name}, {model.spec.name}: {note}" for note in more]
    if mistakes:
        raise ConfigError(list(dict.fromkeys(mistakes)), "Correct the dataset, then run again.")
    return tuple(dict.fromkeys(notes))


def _matrix(scenario: Scenario, devices: Sequence[str]) -> Iterable[Cell]:
    axes = (
        scenario.models,
        scenario.formats,
        scenario.precisions,
        devices,
        scenario.threads,
        scenario.batch,
    )
    return itertools.starmap(Cell, itertools.product(*axes))


def _matcher(globs: Sequence[str]) -> Callable[[str], object]:
    if not globs:
        return lambda _: None
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs)).match


def _check_names(scenario: Scenario, inventory: Inventory) -> None:
    where, accuracy = scenario.source.where, scenario.accuracy
    known = known_names(inventory.known_models, inventory.devices)
    mistakes = [
        *unknown_names(scenario.source, known),
        *_unknown_tools(scenario, inventory),
        *_duplicates(scenario),
    ]
    for model in _models(scenario, inventory):
        if accuracy and metrics.of_task(model.spec.task) is None:
            mistakes.append(
                f"{where(('accuracy',))}: accuracy: {model.spec.name} has task {model.spec.task}, "
                "which has no metric"
            )
        elif accuracy and accuracy.dataset not in model.datasets:
            mistakes.append(
                f"{where(('accuracy', 'dataset'))}: accuracy.dataset: {model.spec.name} has no "
                f"dataset '{accuracy.dataset}'{neighbours(accuracy.dataset, list(model.datasets))}"
            )
    mistakes += _gate_mistakes(scenario, inventory)
    if mistakes:
        raise ConfigError(mistakes)


def _unknown_tools(scenario: Scenario, inventory: Inventory) -> list[str]:
    """Formats of the scenario with a tool that no route to them has."""
    lines = []
    for at, format in enumerate(scenario.formats):
        name, tool = split_format(format)
        known = tools(name, inventory.formats) if tool and name in inventory.formats else (tool,)
        if tool not in known:
            where = scenario.source.where(("formats", at))
            lines.append(f"{where}: formats: unknown tool '{tool}'{neighbours(tool, known)}")
    return lines


def _models(scenario: Scenario, inventory: Inventory) -> list[Model]:
    """The scenario's models that exist, each once."""
    return [inventory.models[m] for m in dict.fromkeys(scenario.models) if m in inventory.models]


def _gate_mistakes(scenario: Scenario, inventory: Inventory) -> list[str]:
    """Gates on accuracy that can never be met: no model has the value, or nothing is scored."""
    where, gates = scenario.source.where, metrics.gates()
    models = _models(scenario, inventory)
    scored = [metric for one in models if (metric := metrics.of_task(one.spec.task))]
    values = {value.name for metric in scored for value in metric.SPEC.values}
    usable = [key for key, gate in gates.items() if gate.value.name in values]
    asked = [key for key in scenario.gates if key in gates]
    lines = [
        f"{where(('gates', key))}: gates.{key}: no model has the metric "
        f"{gates[key].value.title}{neighbours(key, usable)}"
        for key in asked
        if models and key not in usable
    ]
    if asked and not scenario.accuracy:
        key = asked[0]
        lines.append(f"{where(('gates', key))}: gates.{key}: requires `accuracy`")
    return lines


def _duplicates(scenario: Scenario) -> list[str]:
    axes: dict[tuple[str, ...], Sequence[object]] = {
        ("models",): scenario.models,
        ("formats",): scenario.formats,
        ("precisions",): scenario.precisions,
        ("devices",): scenario.devices,
        ("matrix", "threads"): scenario.threads,
        ("matrix", "batch"): scenario.batch,
    }
    return [
        f"{scenario.source.where((*path, i))}: {'.'.join(path)}: {value!r} is a duplicate entry"
        for path, values in axes.items()
        for i, value in enumerate(values)
        if value in values[:i]
    ]


def _choose_devices(scenario: Scenario, inventory: Inventory) -> tuple[list[DeviceSpec], list[str]]:
    chosen: dict[str, DeviceSpec] = {}
    notes: list[str] = []
    for word in scenario.devices:
        if not word.startswith("label:"):
            chosen[word] = inventory.devices[word]
            continue
        matching = [d for d in inventory.devices.values() if word[6:] in d.labels]
        chosen.update((device.name, device) for device in matching)
        notes.append(_why_these(word, matching, list(inventory.devices.values())))
    return list(chosen.values()), notes


def _why_these(word: str, matching: Sequence[DeviceSpec], known: Sequence[DeviceSpec]) -> str:
    """Which devices a label selects, which not, and the labels of those."""
    others = [f"{d.name} ({', '.join(d.labels) or 'no label'})" for d in known if d not in matching]
    rest = f"; others: {', '.join(others)}" if others else ""
    if not matching:
        return f"{word}: no device has this label{rest}"
    return f"{word}: {', '.join(d.name for d in matching)}{rest}"


def _why_not(cell: Cell, inventory: Inventory) -> str | None:
    if cell.runs_as in PLANNED:
        return PLANNED[cell.runs_as]
    spec = inventory.formats[cell.runs_as]
    if cell.precision not in spec.precisions:
        return spec.lacks.get(cell.precision, f"{spec.title} does not support {cell.precision}")
    model = inventory.models[cell.model].spec
    if cell.batch != model.batch:
        return f"the model's input has a fixed batch size of {model.batch}"
    if reason := why_no_route(model.source, cell.format, inventory.formats):
        return reason
    return why_not(spec, cell.device, _runs_as(inventory.devices[cell.device]))


def _runs_as(device: DeviceSpec) -> str:
    """A local Mac runs Linux images."""
    return "linux" if (device.transport, device.kind) == ("local", "macos") else device.kind


def _empty(scenario: Scenario, only: Sequence[str], notes: Sequence[str]) -> str:
    where = scenario.source.where(("exclude",) if scenario.exclude else ())
    causes = [f"--only {' '.join(only)}"] if only else []
    causes += ["exclude"] if scenario.exclude else []
    return (
        f"{where}: the matrix is empty"
        + (f" after {' and '.join(causes)}" if causes else "")
        + "".join(f"; {note}" for note in notes)
    )


def read_inventory(
    models: dict[str, Path], devices: dict[str, Path], wanted: Sequence[str] | None = None
) -> Inventory:
    """Read every device, and the models in `wanted` (None: all).

    Raises ConfigError with all mistakes of all files.
    """
    chosen = {name: path for name, path in models.items() if wanted is None or name in wanted}
    mistakes: list[str] = []
    inventory = Inventory(
        _read_all(read_model, chosen, mistakes),
        _read_all(read_device, devices, mistakes),
        formats(),
        tuple(models),
    )
    if mistakes:
        raise ConfigError(mistakes)
    return inventory


def _read_all(
    read: Callable[[Path], Found], paths: dict[str, Path], mistakes: list[str]
) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for name, path in paths.items():
        try:
            found[name] = read(path)
        except ConfigError as error:
            mistakes += error.mistakes
    return found
