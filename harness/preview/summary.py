"""Everything that `bench plan` shows of a scenario, as one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..cache import tree_bytes
from ..formats.routes import described, route_of, verified
from ..records import Cell, DeviceSpec, Plan, split_format
from ..scenario.model import Model
from ..scenario.scenario import Scenario
from .cached import Cached, CachedParts
from .estimate import Expected


@dataclass(frozen=True)
class Move:
    """An upper bound of what is transferred to a remote device."""

    device: str
    #: bytes of so many converted models; so many others are not converted yet
    model_bytes: int
    models: int
    unknown_models: int
    #: decoded images; None: not decoded yet
    image_bytes: int | None


@dataclass(frozen=True)
class Preview:
    """What a run of the plan would do."""

    scenario: str
    profile: str
    plan: Plan
    #: every cell of the plan, run or skipped, in the scenario's order
    order: tuple[Cell, ...]
    #: cell id -> what is cached of it
    parts: dict[str, CachedParts]
    images_to_build: tuple[str, ...]
    moves: tuple[Move, ...]
    expected: Expected
    #: of the plan, and what was found while looking
    notes: tuple[str, ...]
    #: how the files are made that take several conversions or a chosen tool, one line each
    routes: tuple[str, ...] = ()


def preview(
    scenario: Scenario,
    plan: Plan,
    devices: Mapping[str, DeviceSpec],
    cached: Cached,
    expected: Expected,
) -> Preview:
    """Look everything up; nothing is built, converted or connected."""
    parts = {cell.id: cached.parts(cell) for cell in plan.cells}
    used = dict.fromkeys(cell.device for cell in plan.cells)
    away = [name for name in used if devices[name].transport != "local"]
    return Preview(
        scenario=scenario.name,
        profile=scenario.measuring.profile,
        plan=plan,
        order=tuple(in_order(scenario, [*plan.cells, *(s.cell for s in plan.skipped)])),
        parts=parts,
        images_to_build=tuple(cached.images_to_build(plan.cells)),
        moves=tuple(move(name, plan.cells, cached) for name in away),
        expected=expected,
        notes=(*plan.notes, *cached.notes),
        routes=tuple(routes_of(plan.cells, cached.models)),
    )


def routes_of(cells: Sequence[Cell], models: Mapping[str, Model]) -> list[str]:
    """`rio, tflite@onnx2tf: onnx (torch.onnx) > …`, unless it is one conversion without choice."""
    lines = []
    for model, format in dict.fromkeys((cell.model, cell.format) for cell in cells):
        found = route_of(models[model].spec, format)
        unverified = [str(step) for step in found if step.edge not in verified()]
        if len(found) > 1 or split_format(format)[1] or unverified:
            text = f"; not verified: {', '.join(unverified)}" if unverified else ""
            lines.append(f"{model}, {format}: {described(found)}{text}")
    return lines


def move(device: str, cells: Sequence[Cell], cached: Cached) -> Move:
    """What would be transferred to the device."""
    artifacts = cached.artifacts_of(device, cells)
    known = [path for path in artifacts if path]
    models = dict.fromkeys(cell.model for cell in cells if cell.device == device)
    return Move(
        device=device,
        model_bytes=sum(map(tree_bytes, known)),
        models=len(known),
        unknown_models=len(artifacts) - len(known),
        image_bytes=cached.packs_bytes(models),
    )


def in_order(scenario: Scenario, cells: Sequence[Cell]) -> list[Cell]:
    """In the order of the scenario's lists; devices in order of appearance."""
    devices = list(dict.fromkeys(cell.device for cell in cells))

    def position(cell: Cell) -> tuple[int, ...]:
        return (
            scenario.models.index(cell.model),
            scenario.formats.index(cell.format),
            scenario.precisions.index(cell.precision),
            scenario.threads.index(cell.threads),
            scenario.batch.index(cell.batch),
            devices.index(cell.device),
        )

    return sorted(cells, key=position)
