"""Parts of a scenario file that depend on registries: arrival patterns with their options, gates.

Their types are created when a file is read, so registering a module is enough.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from .. import metrics
from ..runner import patterns


class Strict(BaseModel):
    """Unknown keys and values of the wrong type are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Measure(Strict):
    """How carefully to measure; see docs/measurement.md."""

    profile: Literal["quick", "full", "smoke", "mlperf"] = Field(
        "quick",
        description="quick: 3 trials of at least 1 s. full: 5 trials of at least 10 s. "
        "smoke: 1 trial of 8 samples, to test that it runs; not for results. "
        "mlperf: 3 trials driven by MLCommons LoadGen, if the image has it.",
    )
    pattern: str = "single"
    trials: int | None = Field(None, ge=1, le=100, description="Fresh processes per cell.")
    seed: int = Field(0, description="Seed of the order in which trials interleave.")
    memory_mb: int = Field(8192, ge=64, description="Memory limit of a container, MB.")
    timeout_s: float = Field(
        900, gt=0, description="Timeout of one conversion or prediction pass, s."
    )

    def options(self) -> dict[str, Any]:
        """The options of the chosen pattern."""
        asked = getattr(self, self.pattern, None)
        return asked.model_dump() if isinstance(asked, BaseModel) else {}


class Gates(Strict):
    """Limits; a cell that exceeds one, or has an invalid latency, sets exit code 1."""

    p50_ms: float | None = Field(None, gt=0, description="Maximum median latency, ms.")
    size_mb: float | None = Field(None, gt=0, description="Maximum artifact size, MB (10^6 bytes).")

    def limits(self) -> dict[str, float]:
        """The gates that are set, by key."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


def measure_type() -> type[Measure]:
    """Measure with the names of all patterns, and a key for each that has options."""
    specs = {name: pattern.SPEC for name, pattern in patterns.REGISTRY.items()}
    return _measure_type(tuple((name, spec.about, spec.options) for name, spec in specs.items()))


def gates_type() -> type[Gates]:
    """Gates with a key for each gate of every metric."""
    gates = metrics.gates().items()
    return _gates_type(tuple((key, gate.about, gate.on_reference) for key, gate in gates))


@lru_cache(maxsize=4)
def _measure_type(offered: tuple[tuple[str, str, type[Any]], ...]) -> type[Measure]:
    about = "; ".join(f"{name}: {words}" for name, words, _ in offered)
    described = Field("single", description=f"How samples arrive. {about}.")
    names = tuple(name for name, *_ in offered)
    fields: dict[str, Any] = {"pattern": (Literal[names], described)}
    for name, _, options in offered:
        if own := _options(options):
            made = create_model(name.title(), __base__=Strict, __doc__=options.__doc__, **own)
            fields[name] = (made, Field(default_factory=made))
    return create_model("Measure", __base__=Measure, __doc__=Measure.__doc__, **fields)


@lru_cache(maxsize=4)
def _gates_type(offered: tuple[tuple[str, str, bool], ...]) -> type[Gates]:
    fields: dict[str, Any] = {
        key: (float | None, Field(None, ge=0 if on_reference else None, description=about))
        for key, about, on_reference in offered
    }
    return create_model("Gates", __base__=Gates, __doc__=Gates.__doc__, **fields)


def _options(kind: type[Any]) -> dict[str, Any]:
    """A pattern's options as pydantic fields."""
    hints = get_type_hints(kind)
    return {
        field.name: _field(hints[field.name], field)
        for field in dataclasses.fields(kind)
        if "about" in field.metadata
    }


def _field(hint: Any, field: dataclasses.Field[Any]) -> Any:
    bounds, about = field.metadata["bounds"], field.metadata["about"]
    if get_origin(hint) is not tuple:
        return hint, Field(field.default, description=about, **bounds)
    item: Any = Annotated[get_args(hint)[0], Field(**bounds)]
    made = Field(
        default_factory=lambda: list(field.default),  # type: ignore[arg-type]
        max_length=field.metadata["max_length"],
        description=about,
    )
    return list[item], made
