"""A pattern's specification: options, figures, texts. Python 3.8, numpy only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Generic, Mapping, Optional, Tuple, Type, TypeVar

import numpy as np

from ...records import Arrivals
from ..job import MeasureOptions

O = TypeVar("O")  # noqa: E741  # the pattern's own frozen dataclass of options


@dataclass(frozen=True)
class Timed:
    """Raw samples of one timed loop: arrays for samples.npz, and the pattern's figures."""

    #: at least `start_ns` and `latency_ns`, int64, in order
    arrays: Dict[str, np.ndarray]
    #: the cap came before the rules were met
    capped: bool
    arrivals: Optional[Arrivals] = None


@dataclass(frozen=True)
class NoOptions:
    """A pattern without options."""


def option(
    default: Any,
    about: str,
    *,
    gt: Optional[float] = None,
    ge: Optional[float] = None,
    lt: Optional[float] = None,
    le: Optional[float] = None,
    max_length: Optional[int] = None,
) -> Any:
    """A field of a pattern's options that a scenario may set; bounds apply to each item of a list.

    A field without it is not offered: only profiles set it.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    known = {name: value for name, value in bounds.items() if value is not None}
    metadata = {"about": about, "bounds": known, "max_length": max_length}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Fact:
    """A figure of `Arrivals` for the tables: the median over the trials, or their sum."""

    title: str
    read: Callable[[Arrivals], Optional[float]]
    unit: str = ""
    total: bool = False


def capped(rules: MeasureOptions, options: Any) -> float:
    """Patterns that end with min samples and min seconds, or at the cap."""
    return rules.cap_s


def as_named(arrivals: Arrivals) -> str:
    """Only the pattern itself, without options."""
    return ""


@dataclass(frozen=True)
class PatternSpec(Generic[O]):
    """A pattern's texts and options."""

    #: what it does, after its name: `at random, as to a server`
    about: str
    options: Type[O]
    #: heading of its section on a cell's page; empty: samples that follow each other have none
    title: str = ""
    facts: Tuple[Fact, ...] = ()
    #: options that profile smoke fixes, so that it takes seconds
    smoke: Mapping[str, Any] = field(default_factory=dict)
    #: what was asked for, in words: two results that differ in it are not compared
    asked: Callable[[Arrivals], str] = as_named
    #: the most that the timed loop may take, seconds
    longest_s: Callable[[MeasureOptions, O], float] = capped
    #: MLCommons LoadGen's name for it, empty where LoadGen has none
    loadgen: str = ""


RESPONSES: Tuple[Fact, ...] = (
    Fact("median response time", lambda a: a.response_p50_ms, "ms"),
    Fact("p90 response time", lambda a: a.response_p90_ms, "ms"),
    Fact("p99 response time", lambda a: a.response_p99_ms, "ms"),
)
"""Of patterns with a schedule: completion minus scheduled arrival."""
