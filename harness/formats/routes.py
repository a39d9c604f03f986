"""From a model's file to a format's: the shortest chain of conversions.

A scenario may say which tool is to make the file: `tflite@onnx2tf` is TFLite by a route with a
step of onnx2tf.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Callable, Deque, FrozenSet, List, Mapping, Optional, Set, Tuple

from ..records import Conversion, FormatSpec, ModelSpec, split_format
from . import REGISTRY

#: formats by name
Specs = Mapping[str, FormatSpec]
#: source, format, tool
Edge = Tuple[str, str, str]
#: written by tests/e2e/test_conversions.py
VERIFIED = Path(__file__).with_name("verified.json")


@dataclass(frozen=True)
class RouteStep:
    """Make a file of the format `format`; only the last step of a route changes the precision."""

    format: str
    conversion: Conversion

    @property
    def edge(self) -> Edge:
        """What the table of verified conversions calls it."""
        return self.conversion.source, self.format, self.conversion.tool

    def __str__(self) -> str:
        return f"{self.format} ({self.conversion.tool})"


Route = Tuple[RouteStep, ...]


def route(source: str, format: str, specs: Specs) -> Optional[Route]:
    """From a file of kind `source` to the file that `format` runs; None if there is no way.

    The last step is made even if the file is of the format's own kind: it checks the file, and
    changes its precision. Of verified conversions the shortest chain is taken, else of all; of
    those of the same length, the one through the format registered first.
    """
    checked = verified()
    return _shortest(source, format, specs, lambda step: step.edge in checked) or _shortest(
        source, format, specs, lambda step: True
    )


def _shortest(
    source: str, format: str, specs: Specs, usable: Callable[[RouteStep], bool]
) -> Optional[Route]:
    """Breadth first over kinds of files, and whether the tool that is asked for has been used."""
    name, tool = split_format(format)
    wanted = specs[name].converter
    seen: Set[Tuple[str, bool]] = {(source, not tool)}
    waiting: Deque[Tuple[str, bool, Route]] = deque([(source, not tool, ())])
    while waiting:
        kind, used, before = waiting.popleft()
        steps = [step for step in _steps(kind, specs) if usable(step)]
        for step in steps:
            if step.format == wanted and (used or step.conversion.tool == tool):
                return (*before, step)
        for step in steps:
            after = step.format, used or step.conversion.tool == tool
            if after not in seen and specs[step.format].converted_on == "host":
                seen.add(after)
                waiting.append((*after, (*before, step)))
    return None


def _steps(source: str, specs: Specs) -> List[RouteStep]:
    """Every conversion of a kind of file, in the order of the formats."""
    return [
        RouteStep(name, way)
        for name, spec in specs.items()
        if spec.converter == name
        for way in spec.conversions
        if way.source == source
    ]


def route_of(model: ModelSpec, format: str) -> Route:
    """The route of a cell that was planned. Raises KeyError if there is none."""
    found = route(model.source, format, specs())
    if found is None:
        raise KeyError(f"no route from {model.source} to {format}")
    return found


def specs() -> Specs:
    """Every registered format."""
    return {name: module.SPEC for name, module in REGISTRY.items()}


def described(found: Route) -> str:
    """`onnx (torch.onnx) > savedmodel (onnx2tf) > tflite (tf.lite)`."""
    return " > ".join(map(str, found))


@dataclass(frozen=True)
class Listed:
    """A conversion as `bench formats` lists it."""

    source: str
    format: str
    tool: str
    image: str
    verified: bool


def table(specs: Specs) -> List[Listed]:
    """Every conversion, by the kind of file that it starts from, in the order of the formats."""
    return [
        Listed(source, step.format, way.tool, way.image, step.edge in verified())
        for source in specs
        for step in _steps(source, specs)
        for way in [step.conversion]
    ]


@lru_cache(maxsize=1)
def verified() -> FrozenSet[Edge]:
    """The conversions whose results were equal to their source's, by the committed table."""
    table = json.loads(VERIFIED.read_text(encoding="utf-8"))
    return frozenset((one["source"], one["format"], one["tool"]) for one in table)


def tools(format: str, specs: Specs) -> Tuple[str, ...]:
    """What may follow `format@`: tools of a route from any kind of file to the format."""
    names = {way.tool for spec in specs.values() for way in spec.conversions}
    reached = (
        tool
        for tool in sorted(names)
        if any(route(source, f"{format}@{tool}", specs) for source in specs)
    )
    return tuple(reached)


def why_no_route(source: str, format: str, specs: Specs) -> Optional[str]:
    """Why a model in a file of kind `source` cannot be converted to `format`; None if it can."""
    name, tool = split_format(format)
    if source not in specs:
        return f"there is no format {source}"
    if route(source, format, specs):
        return None
    title, wanted = specs[source].title, specs[name]
    if tool and (plain := route(source, name, specs)):
        return f"no route from {title} to {wanted.title} has {tool}; there is {described(plain)}"
    sources = [way.source for way in specs[wanted.converter].conversions]
    names = ", ".join(specs[one].title for one in sources if one in specs) or "nothing"
    return f"no conversion leads from {title} to {wanted.title}, which is made from {names}"
