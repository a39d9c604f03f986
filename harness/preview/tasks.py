"""The preparation tasks of `run.prepare` for a set of cells, with the names that it announces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..formats import REGISTRY
from ..formats.routes import route_of
from ..records import Cell, DeviceSpec
from ..run.prepare import ArtifactKey, artifact_key, conversion_name, image_names
from ..scenario.model import Model

Kind = Literal["image", "reference", "convert", "check"]


@dataclass(frozen=True)
class PlannedTask:
    """One preparation task; `of` is an image, a model, or a representative cell."""

    kind: Kind
    name: str
    of: str
    #: of a conversion: which step of the cell's route
    step: int = -1


def tasks_of(
    cells: Sequence[Cell], devices: Mapping[str, DeviceSpec], models: Mapping[str, Model]
) -> list[PlannedTask]:
    """Ordered by kind and first use: images, references, conversions, checks."""
    local = [cell for cell in cells if devices[cell.device].transport == "local"]
    names = dict.fromkeys(cell.model for cell in cells)
    found = [PlannedTask("image", f"image {n}", n) for n in image_names(cells, local, models)]
    found += [PlannedTask("reference", f"reference of {name}", name) for name in names]
    found += [
        PlannedTask("convert", conversion_name(key), cell.id, step)
        for key, (cell, step) in _first(cells, models).items()
    ]
    checks = {f"check {c.model} as {c.format} {c.precision}": c.id for c in local if _here(c)}
    return found + [PlannedTask("check", name, cell) for name, cell in checks.items()]


def _first(
    cells: Sequence[Cell], models: Mapping[str, Model]
) -> dict[ArtifactKey, tuple[Cell, int]]:
    """Each file to convert, with the first cell that needs it and the step of its route."""
    found: dict[ArtifactKey, tuple[Cell, int]] = {}
    for cell in filter(_here, cells):
        route = route_of(models[cell.model].spec, cell.format)
        for at in range(len(route)):
            found.setdefault(artifact_key(cell, route, at), (cell, at))
    return found


def _here(cell: Cell) -> bool:
    """Whether its artifact is converted on this machine."""
    return REGISTRY[cell.runs_as].SPEC.converted_on == "host"
