"""Checks that what a run stores can be read again: it contains a device's own text and numbers."""

from __future__ import annotations

from typing import TypeVar

from ..errors import StepFailed
from ..serial import dumps, loads

T = TypeVar("T")


def readable(record: T) -> T:
    """`record`. Raises StepFailed if it could not be read again, which would break the run."""
    try:
        loads(type(record), dumps(record).encode())
    except ValueError as error:
        raise StepFailed(
            f"what the device reports cannot be stored: {error}",
            "Check its readings with `bench devices check NAME --json`.",
        ) from None
    return record
