"""The events of a run as log lines, for a file, a pipe or a CI job.

A step is logged when it begins and when it ends, with its duration, the progress and the time
left.
"""

from __future__ import annotations

from .human import about, clock, duration
from .progress import DeviceProgress, Moment, Progress


def text_of(moment: Moment, progress: Progress, *, with_left: bool = True) -> str:
    """The line, with the time since the start; empty for what is shown elsewhere.

    `with_left`: append the time left when something ends.
    """
    said = _SAID[moment.what](moment, progress)
    if with_left and moment.what in _ENDS:
        said += left(progress)
    return f"{clock(progress.elapsed_s):>7}  {said}" if said else ""


def still_running(progress: Progress) -> str:
    """After a long silence: what is running, and for how long; empty if nothing is."""
    now = progress.clock()
    running = [f"{name} ({duration(now - began)})" for name, began in progress.running.items()]
    running += [
        f"{name}: {doing(device)} ({duration(now - device.began)})"
        for name, device in progress.devices.items()
        if device.cell and not device.is_over
    ]
    if not running:
        return ""
    return f"{clock(progress.elapsed_s):>7}  still running: {', '.join(running)}{left(progress)}"


def doing(device: DeviceProgress) -> str:
    """What a device is doing."""
    if device.waits_for:
        return device.waits_for
    if device.phase == "checks":
        return f"{device.step} of {device.cell}"
    return f"trial {device.position + 1} of {device.total}, {device.cell}"


def left(progress: Progress) -> str:
    """` · about 4 min left`, until the last cell has its result."""
    todo = progress.done < len(progress.cells)
    return f" · {about(progress.left_s())} left" if todo else ""


def _task_begins(moment: Moment, progress: Progress) -> str:
    return f"{moment.name}: started"


def _task_ends(moment: Moment, progress: Progress) -> str:
    word = "done in" if moment.detail == "ok" else f"{moment.detail} after"
    count = f"{progress.ended_count} of {progress.task_count} prepared"
    return f"{moment.name}: {word} {duration(moment.seconds)} · {count}"


def _checks_begin(moment: Moment, progress: Progress) -> str:
    return f"{moment.device}: checking {moment.name}"


def _checks_end(moment: Moment, progress: Progress) -> str:
    device = progress.devices[moment.device]
    checked = len(device.checked) - bool(device.phase == "checks" and device.cell)
    count = f"{checked} of {device.to_check} checked"
    return f"{moment.device}: checked {moment.name} in {duration(moment.seconds)} · {count}"


def _step_begins(moment: Moment, progress: Progress) -> str:
    return f"{moment.name}: {moment.detail}"


def _step_ends(moment: Moment, progress: Progress) -> str:
    return f"{moment.name}: {moment.detail} done in {duration(moment.seconds)}"


def _trial_begins(moment: Moment, progress: Progress) -> str:
    device = progress.devices[moment.device]
    return f"{moment.name}: trial {device.index + 1} of {device.of} started"


def _trial_ends(moment: Moment, progress: Progress) -> str:
    device = progress.devices[moment.device]
    own = f"trial {device.index + 1} of {device.of} done in {duration(moment.seconds)}"
    count = f"{device.trials_done} of {device.total} trials on {moment.device}"
    return f"{moment.name}: {own} · {count}"


def _waits(moment: Moment, progress: Progress) -> str:
    return f"{moment.device}: {moment.detail}"


def _lost(moment: Moment, progress: Progress) -> str:
    where = f" at {moment.name}" if moment.name else ""
    return f"lost contact with {moment.device or 'a device'}{where}: {moment.detail}"


def _result(moment: Moment, progress: Progress) -> str:
    return ""  # with its numbers, by who has the result


def _pages(moment: Moment, progress: Progress) -> str:
    return f"report so far: {moment.detail}"


def _log(moment: Moment, progress: Progress) -> str:
    return moment.detail


_ENDS = ("task ends", "checks end", "trial ends")
_SAID = {
    "task begins": _task_begins,
    "task ends": _task_ends,
    "checks begin": _checks_begin,
    "checks end": _checks_end,
    "step begins": _step_begins,
    "step ends": _step_ends,
    "trial begins": _trial_begins,
    "trial ends": _trial_ends,
    "waits": _waits,
    "lost": _lost,
    "result": _result,
    "pages": _pages,
    "log": _log,
}
