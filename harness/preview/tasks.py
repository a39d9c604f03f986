"""The preparation tasks of `run.prepare` for a set of cells, with the names that it announces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..formats import REFERENCE, REGISTRY
from ..records import Cell, DeviceSpec

Kind = Literal["image", "reference", "convert", "check"]
#: model, converter, precision
ArtifactKey = tuple[str, str, str]


@dataclass(frozen=True)
class PlannedTask:
    """One preparation task; `of` is an image, a model, or a representative cell."""

    kind: Kind
    name: str
    of: str


def artifact_key(cell: Cell) -> ArtifactKey:
    """Equal for cells that share a converted model."""
    return cell.model, REGISTRY[cell.format].SPEC.converter, cell.precision


def tasks_of(cells: Sequence[Cell], devices: Mapping[str, DeviceSpec]) -> list[PlannedTask]:
    """Ordered by kind and first use: images, references, conversions, checks."""
    local = [cell for cell in cells if devices[cell.device].transport == "local"]
    models = dict.fromkeys(cell.model for cell in cells)
    found = [PlannedTask("image", f"image {name}", name) for name in images_of(cells, local)]
    found += [PlannedTask("reference", f"reference of {model}", model) for model in models]
    found += [
        PlannedTask("convert", f"convert {model} to {converter} {precision}", cell.id)
        for (model, converter, precision), cell in _first(cells).items()
    ]
    checks = {f"check {c.model} as {c.format} {c.precision}": c.id for c in local if _here(c)}
    return found + [PlannedTask("check", name, cell) for name, cell in checks.items()]


def images_of(cells: Sequence[Cell], local: Sequence[Cell]) -> list[str]:
    """Images that this machine builds: for the reference, converters, and its own cells."""
    if not cells:
        return []
    converters = [REGISTRY[cell.format].SPEC.converter for cell in cells if _here(cell)]
    own = [REGISTRY[cell.format].SPEC.image for cell in local]
    return list(dict.fromkeys([REGISTRY[REFERENCE].SPEC.image, *converters, *own]))


def _first(cells: Sequence[Cell]) -> dict[ArtifactKey, Cell]:
    found: dict[ArtifactKey, Cell] = {}
    for cell in cells:
        if _here(cell):
            found.setdefault(artifact_key(cell), cell)
    return found


def _here(cell: Cell) -> bool:
    """Whether its artifact is converted on this machine."""
    return REGISTRY[cell.format].SPEC.converted_on == "host"
