"""How samples arrive: one module a pattern, all over the same engine and the same timed call.

`latency_ns` is the runtime's own call in every pattern. Those with a schedule also keep
`scheduled_ns`, and their response is completion minus scheduled arrival, as LoadGen has it:
waiting in the queue, waking up and the copy of the input are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Final, Optional, Sequence

import numpy as np

from ...formats.engine import Engine
from ...records import Arrivals
from ..job import MeasureOptions


@dataclass(frozen=True)
class Timed:
    """Raw samples of one timed loop: arrays for samples.npz, and what the pattern makes of them."""

    #: at least `start_ns` and `latency_ns`, int64, in order
    arrays: Dict[str, np.ndarray]
    #: the cap came before the rules were met
    capped: bool
    arrivals: Optional[Arrivals] = None


Run = Callable[[Engine, Sequence[Any], MeasureOptions], Timed]


def _single() -> Run:
    from .single import run

    return run


def _offline() -> Run:
    from .offline import run

    return run


def _camera() -> Run:
    from .camera import run

    return run


def _server() -> Run:
    from .server import run

    return run


def _sustained() -> Run:
    from .sustained import run

    return run


#: pattern -> what imports its `run`, when it is first used
REGISTRY: Final[Dict[str, Callable[[], Run]]] = {
    "single": _single,
    "offline": _offline,
    "camera": _camera,
    "server": _server,
    "sustained": _sustained,
}


def find(name: str) -> Run:
    """The pattern's `run`; the job's type has checked the name."""
    return REGISTRY[name]()
