"""Creates every distinct thing once, even if creating it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import BenchError, DeviceLost

Made = TypeVar("Made")


class Once:
    """Caches the result or the error under a key.

    One at a time for a key. DeviceLost is not cached: a retry may help.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}
        self._making: dict[tuple[Any, ...], threading.RLock] = {}
        self._lock = threading.Lock()

    def get_or_create(self, key: tuple[Any, ...], create: Callable[[], Made]) -> Made:
        """`create`'s result, or its cached BenchError."""
        with self._lock:
            making = self._making.setdefault(key, threading.RLock())
        with making:
            if key not in self._known:
                try:
                    self._known[key] = create()
                except DeviceLost:
                    raise
                except BenchError as error:
                    self._known[key] = error
            known = self._known[key]
        if isinstance(known, BenchError):
            raise known
        result: Made = known
        return result
