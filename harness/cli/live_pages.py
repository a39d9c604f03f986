"""Updates the report during a run, between two trials, as results arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import BenchError

#: pages of a run that goes on are not written more often, seconds
SOONEST_S = 15.0


class LivePages:
    """Passes events on, and writes the pages with `write` as results arrive.

    It takes at most a tenth of the time: measuring waits meanwhile.
    """

    def __init__(self, write: Callable[[], Path], events: Callable[..., None]) -> None:
        self._write_pages, self._events = write, events
        self._busy, self._next = threading.Lock(), 0.0

    def __call__(self, event: str, **values: object) -> None:
        """See `watch.Watcher`."""
        self._events(event, **values)
        if event in ("provisional", "cell") and self._busy.acquire(blocking=False):
            try:
                self._write(first=event == "provisional" and not self._next)
            finally:
                self._busy.release()

    def _write(self, first: bool) -> None:
        began = time.monotonic()
        if began < self._next:
            return
        try:
            page = self._write_pages()
        except (BenchError, OSError) as error:  # the run goes on, and writes them again
            self._events("log", line=f"pages: {error}")
        else:
            if first:
                self._events("report", page=str(page))
        spent = time.monotonic() - began
        self._next = began + max(SOONEST_S, 10 * spent)
