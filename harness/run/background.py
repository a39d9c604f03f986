"""Background threads with bounded concurrency that never keep the process alive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs submitted work in order on daemon threads, so that an interrupted run does not wait."""

    def __init__(self, name: str, workers: int) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, work: Callable[[], T], after: Sequence[Future[Any]] = ()) -> Future[T]:
        """The future of `work`, which is queued once all of `after` have ended."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        waiting = _Countdown(len(after), lambda: self._queue.put(run))
        for first in after:
            first.add_done_callback(waiting.one_less)
        return future

    def _work(self) -> None:
        while True:
            self._queue.get()()


class _Countdown:
    """Calls `then` when it reaches zero; immediately if it starts there."""

    def __init__(self, count: int, then: Callable[[], None]) -> None:
        self._left, self._then, self._lock = count, then, threading.Lock()
        if not count:
            then()

    def one_less(self, _: object) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._then()
