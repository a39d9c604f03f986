"""Applies stabilising measures and restores the settings: by bench, by the device itself, or later.

A watchdog on the device restores them if bench is silent for STALE_S (a crash, a
lost cable); after a reboot, `restore` does so at the next contact.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import BenchError, DeviceLost, StepFailed
from ..printable import last_line
from ..transports import Transport
from . import KindSpec, hold_scripts

#: a holder is heard of so often
BEAT_S = 15.0
#: and missed after so long
STALE_S = 60.0
#: the watchdog looks so often
LOOK_S = 5.0
#: taking and putting back are over by then, or the device hangs; less than STALE_S
PATIENCE_S = 45.0


@contextmanager
def steady(
    transport: Transport,
    spec: KindSpec,
    allowed: Sequence[str],
    workdir: str,
    beat_s: float = BEAT_S,
    stale_s: float = STALE_S,
) -> Iterator[tuple[str, ...]]:
    """See `Kind.steady`. Requires the device's lease.

    Raises StepFailed, after restoring, if the device refuses a measure.
    Raises DeviceLost at the end if the watchdog restored the settings meanwhile.
    """
    wanted = [measure for measure in spec.measures if measure in allowed]
    if not wanted:
        yield ()
        return
    restore(transport, workdir)
    token = secrets.token_hex(8)
    folder = f"{workdir}/restore/{token}"
    try:
        in_force = _take(transport, spec, folder, wanted, stale_s)
        with _Beat(transport, folder, beat_s):
            yield in_force
    except BaseException as error:
        _let_go(transport, workdir, error)
        raise
    if token not in _put_back(transport, workdir)[0]:
        raise DeviceLost(
            f"{transport.name}: lost contact for {stale_s:g} s; the watchdog restored the clock "
            "settings; trial discarded",
            "Check the connection to the device.",
        )


def restore(transport: Transport, workdir: str) -> tuple[str, ...]:
    """See `Kind.restore`. Raises StepFailed that names what cannot be restored."""
    return _put_back(transport, workdir)[1]


def _take(
    transport: Transport, spec: KindSpec, folder: str, measures: Sequence[str], stale_s: float
) -> tuple[str, ...]:
    look_s = min(LOOK_S, stale_s / 4)
    watch = (hold_scripts.WATCH, f"{look_s:g}", str(round(stale_s / look_s)))
    command = ["sh", "-c", hold_scripts.HOLD, "sh", folder, *watch, *measures]
    done = transport.run(command, timeout_s=PATIENCE_S)
    for key, value in _pairs(done.text):
        if key == "cannot":
            measure, _, why = value.partition(" ")
            raise StepFailed(
                f"{transport.name}: cannot apply {measure}: {why}",
                f"Permit it on the device, or remove `{measure}` from `steady` in "
                f"devices/{transport.name}.yaml "
                f"({spec.measures.get(measure, 'required by every measure')}).",
            )
    if done.exit_code != 0:
        said = last_line(done.stderr)
        raise StepFailed(
            f"{transport.name}: cannot apply the `steady` measures: exit code {done.exit_code}"
            + (f": {said}" if said else "")
        )
    return tuple(value for key, value in _pairs(done.text) if key == "held")


def _put_back(transport: Transport, workdir: str) -> tuple[set[str], tuple[str, ...]]:
    """Holders whose records existed, and what was restored."""
    done = transport.run(["sh", "-c", hold_scripts.RESTORE, "sh", workdir], timeout_s=PATIENCE_S)
    pairs = _pairs(done.text)
    failed = _told(value for key, value in pairs if key == "failed")
    if failed:
        raise StepFailed(
            f"{transport.name}: cannot restore {'; '.join(failed)}",
            f"Restore the settings manually (as root), then run `rm -r {workdir}/restore` there.",
        )
    told = _told(value for key, value in pairs if key == "restored")
    return {value for key, value in pairs if key == "holder"}, told


def _let_go(transport: Transport, workdir: str, error: BaseException) -> None:
    """Restore after a failure; an error of restoring is added to that failure as a note.

    The watchdog restores an unreachable device.
    """
    try:
        _put_back(transport, workdir)
    except (DeviceLost, StepFailed) as second:
        error.add_note(f"and the settings could not be restored: {second.message}")


def _pairs(text: str) -> list[tuple[str, str]]:
    lines = (line.partition("=") for line in text.splitlines())
    return [(key, value) for key, equals, value in lines if equals]


def _told(lines: Iterator[str]) -> tuple[str, ...]:
    """`governor: schedutil`, once for all CPUs with the same value."""
    told: dict[str, None] = {}
    for line in lines:
        measure, operation, first, *rest = [*line.split(" "), "", ""]
        value = rest[0] if operation == "file" else first
        value = {"false": "off", "null": "off"}.get(value, value)
        told[f"{measure}: {'as it was' if operation == 'jetson_clocks' else value}"] = None
    return tuple(told)


class _Beat:
    """Sends heartbeats to the watchdog on the device."""

    def __init__(self, transport: Transport, folder: str, beat_s: float) -> None:
        self._transport, self._folder, self._beat_s = transport, folder, beat_s
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, daemon=True, name=f"beat {transport.name}"
        )

    def __enter__(self) -> _Beat:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        count = 0
        while not self._over.wait(self._beat_s):
            count += 1
            command = ["sh", "-c", hold_scripts.BEAT, "sh", self._folder, str(count)]
            try:
                self._transport.run(command, timeout_s=self._beat_s)
            except BenchError:
                continue  # the next one may arrive; whether enough did is seen at the end
