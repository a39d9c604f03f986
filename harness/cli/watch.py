"""Shows a run's progress: as JSON lines, as a log, or live on a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Group
from rich.live import Live
from rich.text import Text

from ..preview.estimate import Expected
from ..records import Cell, CellResult
from ..serial import to_json
from . import console, live_view, log_lines, run_text, settings
from .human import clock
from .progress import Moment, Progress

#: a log that has said nothing for so long says what still runs
SILENCE_S = 60.0
#: on a terminal, an ended task of less is not worth a line that stays
QUICK_S = 1.0


#: said with --verbose only
DETAILS = ("log", "step begins", "step ends")


class Watcher(Protocol):
    """Receives the events of a run, from any of its threads."""

    def __enter__(self) -> Watcher: ...

    def __exit__(self, *exc: object) -> None: ...

    def __call__(self, event: str, **values: Any) -> None: ...


def watcher(json: bool, cells: Sequence[Cell], expected: Expected) -> Watcher:
    """The watcher that suits stderr; `cells`: those without a result yet."""
    if json:
        return JsonEvents()
    progress = Progress(cells, expected)
    live = console.is_terminal(console.err().file) and not settings.current().quiet
    return LiveProgress(progress) if live else LogProgress(progress)


class JsonEvents:
    """Every event as one JSON line on stdout."""

    def __enter__(self) -> JsonEvents:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, event: str, **values: Any) -> None:
        """Print the event at once."""
        at = round(time.time(), 3)
        console.json_line({"event": event, "at": at, **{k: to_json(v) for k, v in values.items()}})


class LogProgress:
    """A line when a step begins and when it ends; with --quiet only lost connections."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._said_at, self._over = progress.clock(), threading.Event()

    def __enter__(self) -> LogProgress:
        threading.Thread(target=self._break_silence, name="silence", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()

    def __call__(self, event: str, **values: Any) -> None:
        """Log the event."""
        with self._lock:
            for moment in self._progress.add(event, values):
                self._say(moment, values)

    def _say(self, moment: Moment, values: dict[str, Any]) -> None:
        line = styled(moment, self._progress, values)
        if line:
            console.err().print(line, soft_wrap=True)
            self._said_at = self._progress.clock()

    def _break_silence(self) -> None:
        while not self._over.wait(SILENCE_S / 10):
            with self._lock:
                silent = self._progress.clock() - self._said_at >= SILENCE_S
                if silent and not settings.current().quiet:
                    if text := log_lines.still_running(self._progress):
                        console.note(text)
                    self._said_at = self._progress.clock()


class LiveProgress:
    """The current state, redrawn continually; results and lost devices stay above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._console = console.err()
        self._live = Live(
            console=self._console, get_renderable=self._view, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def __call__(self, event: str, **values: Any) -> None:
        """Count the event; the next redraw shows it."""
        with self._lock:
            moments = self._progress.add(event, values)
            staying = [moment for moment in moments if self._stays(moment)]
            lines = [styled(m, self._progress, values, with_left=False) for m in staying]
        for line in filter(None, lines):
            self._console.print(line)

    def _stays(self, moment: Moment) -> bool:
        if settings.current().verbose or moment.what in ("result", "lost", "pages"):
            return True
        slow = moment.seconds >= QUICK_S or moment.detail == "failed"
        return moment.what in ("task ends", "checks end") and slow

    def _view(self) -> Group:
        with self._lock:
            rows = live_view.rows(self._progress, self._console.width)
        return Group(*(Text(text, style=style, no_wrap=True) for style, text in rows))


def styled(
    moment: Moment, progress: Progress, values: dict[str, Any], *, with_left: bool = True
) -> str:
    """The moment's line with rich's markup; empty if the settings hide it."""
    now = settings.current()
    if moment.what == "result":
        return "" if now.quiet else _result(values["result"], progress, with_left)
    text = console.plain(log_lines.text_of(moment, progress, with_left=with_left))
    if moment.what == "lost":
        return f"[yellow]{text}[/]"
    if now.quiet or (moment.what in DETAILS and not now.verbose):
        return ""
    return f"[dim]{text}[/]" if moment.what == "log" else text


def _result(result: CellResult, progress: Progress, with_count: bool) -> str:
    count = f" [dim]· {progress.done} of {len(progress.cells)} cells[/]" if with_count else ""
    return f"{clock(progress.elapsed_s):>7}  {run_text.result_line(result)}{count}"
