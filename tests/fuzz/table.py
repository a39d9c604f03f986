"""The table of every reader of what others have made."""

from __future__ import annotations

from typing import Final

from . import datasets, devices, records, wires
from .target import Target

TARGETS: Final[dict[str, Target]] = {
    one.name: one for one in (*records.TARGETS, *datasets.TARGETS, *wires.TARGETS, *devices.TARGETS)
}
