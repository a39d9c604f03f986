"""What a run stores can be read again: a device's own words and numbers are in it."""

from __future__ import annotations

from typing import TypeVar

from ..errors import StepFailed
from ..serial import dumps, loads

T = TypeVar("T")


def readable(record: T) -> T:
    """`record`. Raises StepFailed for one that nobody could read again: it would cost the run."""
    try:
        loads(type(record), dumps(record).encode())
    except ValueError as error:
        raise StepFailed(
            f"what the device reports cannot be stored: {error}",
            "Look at its readings with `bench devices check NAME --json`.",
        ) from None
    return record
