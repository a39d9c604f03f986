"""From a model's file to a format's: the shortest chain of conversions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, Dict, Mapping, Optional, Tuple

from ..records import Conversion, FormatSpec, ModelSpec
from . import REGISTRY

#: formats by name
Specs = Mapping[str, FormatSpec]


@dataclass(frozen=True)
class RouteStep:
    """Make a file of the format `format`; only the last step of a route changes the precision."""

    format: str
    conversion: Conversion


Route = Tuple[RouteStep, ...]


def route(source: str, format: str, specs: Specs) -> Optional[Route]:
    """From a file of kind `source` to the file that `format` runs; None if there is no way.

    The last step is made even if the file is of the format's own kind: it checks the file, and
    changes its precision. Of routes of the same length, the one through the format registered
    first is taken.
    """
    wanted = specs[format].converter
    before: Dict[str, Route] = {source: ()}
    waiting: Deque[str] = deque([source])
    while waiting:
        kind = waiting.popleft()
        if step := _step(kind, wanted, specs):
            return (*before[kind], step)
        for name, spec in specs.items():
            step = _step(kind, name, specs) if name not in before else None
            if step and spec.converted_on == "host":
                before[name] = (*before[kind], step)
                waiting.append(name)
    return None


def route_of(model: ModelSpec, format: str) -> Route:
    """The route of a cell that was planned. Raises KeyError if there is none."""
    specs = {name: module.SPEC for name, module in REGISTRY.items()}
    found = route(model.source, format, specs)
    if found is None:
        raise KeyError(f"no route from {model.source} to {format}")
    return found


def _step(source: str, format: str, specs: Specs) -> Optional[RouteStep]:
    spec = specs.get(format)
    ways = spec.conversions if spec else ()
    found = next((way for way in ways if way.source == source), None)
    return RouteStep(format, found) if found else None


def why_no_route(source: str, format: str, specs: Specs) -> Optional[str]:
    """Why a model in a file of kind `source` cannot be converted to `format`; None if it can."""
    if source not in specs:
        return f"there is no format {source}"
    if route(source, format, specs):
        return None
    title, wanted = specs[source].title, specs[format]
    sources = [way.source for way in specs[wanted.converter].conversions]
    names = ", ".join(specs[one].title for one in sources if one in specs) or "nothing"
    return f"no conversion leads from {title} to {wanted.title}, which is made from {names}"
