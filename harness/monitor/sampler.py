"""Samples a device's state from outside the timed process while a `with` block runs."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from types import TracebackType

from ..bugs import bug_report
from ..errors import BenchError
from ..printable import last_line
from ..records import Reading, Watched
from ..transports import Transport
from .parse import Parser
from .sampler_script import PERIOD_S, command

#: kind of device -> what its sampler cannot see
BLIND = {"macos": "macOS does not support CPU pinning or report clocks: cores and clocks unknown"}
#: until the first reading, after the end was asked for; seconds
START_S, STOP_S = 10.0, 15.0
#: by so much our deadline is later than the sampler's own
GRACE_S = 15
#: one small command there
ASK_S = 10.0


class Watch:
    """`with Watch(…) as watch:` samples until the block ends, at most `deadline_s`.

    Errors of the sampler are not raised: a lost connection or a device without sensors is
    a note. The sampler ends at its deadline, or when its output is closed.
    """

    def __init__(
        self,
        transport: Transport,
        kind: str,
        workdir: str | PurePosixPath,
        deadline_s: float,
        *,
        cpus: Sequence[int] = (),
        apart: Sequence[int] = (),
        root: str = "",
        period_s: float = PERIOD_S,
    ) -> None:
        self._transport = transport
        self._switch = PurePosixPath(workdir) / f"watch-{secrets.token_hex(8)}"
        self._deadline_s = int(deadline_s)
        self._command = command(
            kind,
            self._switch,
            self._deadline_s,
            cpus=cpus,
            apart=apart,
            root=root,
            period_s=period_s,
        )
        self._parser = Parser()
        self._readings: list[Reading] = []
        self._heard_at = 0.0
        self._notes = [BLIND[kind]] if kind in BLIND else []
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._readings or self._over, START_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        until = time.monotonic() + STOP_S
        while not self._over and time.monotonic() < until:
            self._ask_to_end()
            self._thread.join(2.0)
        if not self._over:
            self._note("the sampler did not stop on request; it stops at its deadline")

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The readings so far."""
        with self._changed:
            return tuple(self._readings)

    @property
    def watched(self) -> Watched:
        """The record of the sampler; complete once the block has ended."""
        with self._changed:
            parser = self._parser
            damaged = [f"{parser.damaged} damaged lines from the sampler"]
            return Watched(
                readings=tuple(self._readings),
                notes=(*parser.notes, *(damaged if parser.damaged else ()), *self._notes),
                sampler_cpu_percent=parser.cpu_percent,
                counter_range_uj=dict(parser.counter_range_uj),
                unreadable=tuple(parser.unreadable),
            )

    @property
    def over(self) -> bool:
        """Whether no more readings will come."""
        return self._over

    def now_s(self) -> float | None:
        """The device's time since boot, as `Reading.at_s`; None before the first reading."""
        with self._changed:
            if not self._readings:
                return None
            return self._readings[-1].at_s + time.monotonic() - self._heard_at

    def idle(self, seconds: float) -> tuple[float, float] | None:
        """Sample the idle device before the job; the window, for `energy`.

        Returns None immediately if there is no power sensor.
        """
        seen = self.readings
        if not any(r.power_w or r.energy_uj for r in seen):
            return None
        began_s = seen[-1].at_s
        with self._changed:
            self._changed.wait_for(
                lambda: self._over or self._readings[-1].at_s >= began_s + seconds, seconds + 5
            )
            return began_s, self._readings[-1].at_s

    def _follow(self) -> None:
        try:
            done = self._transport.run(
                self._command, timeout_s=self._deadline_s + GRACE_S, on_line=self._take
            )
            if done.exit_code or not self._parser.ended:
                reason = last_line(done.stderr or done.stdout) or "no output"
                if not self._parser.notes:
                    self._note(f"the sampler failed with exit code {done.exit_code}: {reason}")
        except BenchError as error:
            self._note(f"lost the sampler: {error.message}; state unknown from then on")
        except Exception as error:  # a device's output costs its state, not the trial
            line = bug_report(error, "the sampler").line
            self._note(f"lost the sampler: {line}; state unknown from then on")
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _take(self, line: str) -> None:
        with self._changed:
            reading = self._parser.feed(line)
            if reading is not None:
                self._readings.append(reading)
                self._heard_at = time.monotonic()
                self._changed.notify_all()

    def _ask_to_end(self) -> None:
        try:
            self._transport.run(["rm", "-f", str(self._switch)], timeout_s=ASK_S)
        except BenchError as error:
            self._note(f"the sampler could not be stopped: {error.message}")
            self._thread.join(1.0)

    def _note(self, text: str) -> None:
        with self._changed:
            if text not in self._notes:
                self._notes.append(text)
