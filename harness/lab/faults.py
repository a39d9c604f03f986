"""Faults of a lab device by name, injected on request."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import StepFailed
from ..workspace import builtin
from . import sysfs
from .board import Board, command_line


@dataclass(frozen=True)
class Fault:
    """`run` gets the board and the value, and returns what it did."""

    value: str
    what: str
    run: Callable[[Board, str], str]
    #: devices that have it
    on: tuple[str, ...] = ("phone", "jetson", "host")


def apply(board: Board, name: str, value: str) -> str:
    """Raises StepFailed if this device has no such fault, or for an invalid value."""
    fault = FAULTS.get(name)
    if fault is None or board.plan.name not in fault.on:
        known = ", ".join(key for key, each in FAULTS.items() if board.plan.name in each.on)
        raise StepFailed(f"unknown fault '{name}' for the {board.plan.name}; known: {known}")
    return fault.run(board, value)


def _drop(board: Board, _: str) -> str:
    board.order("drop")
    return "closed every connection"


def _reboot(board: Board, value: str) -> str:
    gone_s = _number(value, 3.0)
    board.cut_power()

    def again() -> None:
        time.sleep(gone_s)
        board.boot()

    threading.Thread(target=again, daemon=True).start()
    return f"switched off; restarts in {gone_s:g} s"


def _hang(board: Board, _: str) -> str:
    for pid in board.processes()[1:]:
        os.kill(pid, signal.SIGSTOP)
    return "hung: connections are accepted but not answered"


def _wake(board: Board, _: str) -> str:
    for pid in board.processes()[1:]:
        os.kill(pid, signal.SIGCONT)
    return "resumed"


def _fill_disk(board: Board, value: str) -> str:
    left_kb = round(_number(value, 0.0) * 1024)
    used_kb = board.written_bytes() // 1024
    board.resize(f"{max(used_kb + left_kb, 1)}k")
    return f"{left_kb / 1024:g} MB free"


def _free_disk(board: Board, _: str) -> str:
    board.resize(f"{board.plan.storage_mb}m")
    return "restored the storage"


def _heat(board: Board, value: str) -> str:
    celsius = _number(value, 95.0)
    for zone in _zones(board):
        (zone / "temp").write_text(f"{round(celsius * 1000)}\n")
    if board.is_phone:
        _write(board.sys / sysfs.BATTERY / "temp", round(celsius * 10))
    return f"every sensor reads {celsius:g} °C"


def _cool(board: Board, _: str) -> str:
    base = sysfs.BOARDS[board.plan.name]
    sysfs.write(base, sorted(os.sched_getaffinity(0)), board.sys)
    (board.root / "data/system/lab/thermal_status").unlink(missing_ok=True)
    return "restored sensors, clocks and battery"


def _drain(board: Board, value: str) -> str:
    percent = round(_number(value, 5.0))
    _write(board.sys / sysfs.BATTERY / "capacity", percent)
    return f"battery at {percent} %"


def _throttle(board: Board, _: str) -> str:
    for policy in sysfs.policies(board.sys):
        lowest = (policy / "scaling_min_freq").read_text()
        for name in ("scaling_cur_freq", "scaling_max_freq"):
            (policy / name).write_text(lowest)
    if board.is_phone:
        _write(board.root / "data/system/lab/thermal_status", 3)
    return "throttled every CPU to its lowest clock"


def _refuse_key(board: Board, _: str) -> str:
    if board.is_phone:
        board.order("refuse")
    else:
        (board.root / "etc/ssh/lab_authorized_keys").write_text("")
    return "rejecting all keys"


def _accept_key(board: Board, _: str) -> str:
    if board.is_phone:
        board.order("accept")
    else:
        shutil.copyfile(board.plan.user_key, board.root / "etc/ssh/lab_authorized_keys")
    return "accepting the lab's key"


def _change_host_key(board: Board, _: str) -> str:
    now = (board.root / "etc/ssh/lab_host_key").read_bytes()
    number = 1 if now == Path(board.plan.host_keys[0]).read_bytes() else 0
    board.use_host_key(number)
    return "changed the host key" if number else "restored the host key"


def _kill_process(board: Board, value: str) -> str:
    """As a phone's memory killer: the largest one, or the largest whose command line fits.

    A shell that was told to start the process has the text in its line, too, and is not it.
    """
    found = [
        (_resident(pid), pid, line)
        for pid in board.jobs()
        if (line := command_line(pid)) and value in line and not (value and "sh -c " in line)
    ]
    if not found:
        raise StepFailed(f"no process{f' with {value!r}' if value else ''}")
    _, pid, line = max(found)
    os.kill(pid, signal.SIGKILL)
    return f"killed: {line[:120]}"


def _clock_jump(board: Board, value: str) -> str:
    seconds = round(_number(value, 3600.0))
    (_shift_date if board.is_phone else _shift_programs)(board, seconds)
    if seconds == 0:
        return "restored the clock"
    if board.is_phone:
        return f"`date` is {seconds:+d} s off"
    return f"clock {seconds:+d} s off for new connections"


def _shift_programs(board: Board, seconds: int) -> None:
    """By sshd's word to its sessions; sshd itself does not run under libfaketime."""
    config = board.root / "etc/ssh/lab_config"
    seen = config.read_text().splitlines()
    lines = [line for line in seen if not line.startswith("SetEnv ")]
    words = [word for line in seen for word in line.split() if word.startswith("QEMU_CPU=")]
    if seconds:
        found = next((board.root / "usr/lib").glob("*/faketime/libfaketime.so.1"))
        library = f"/{found.relative_to(board.root)}"
        words += [f"LD_PRELOAD={library}", f"FAKETIME={seconds:+d}"]
    if words:  # sshd takes the first such line only
        lines.append(" ".join(["SetEnv", *words]))
    config.write_text("".join(f"{line}\n" for line in lines))


def _shift_date(board: Board, seconds: int) -> None:
    """A phone's programs are static, or bring their own libraries: only `date` can be told."""
    date = board.root / "system/bin/date"
    date.unlink()
    if seconds == 0:
        date.symlink_to("busybox")
        return
    _write(board.root / "data/system/lab/clock_off", seconds)
    shutil.copyfile(builtin() / "dockerfiles/lab/phone/date-off", date)
    date.chmod(0o755)


FAULTS: Final[dict[str, Fault]] = {
    "drop": Fault("", "close every connection", _drop),
    "reboot": Fault("[SECONDS]", "switch off, and on again after 3 s or VALUE s", _reboot),
    "hang": Fault("", "accept connections without answering", _hang),
    "wake": Fault("", "end a hang", _wake),
    "fill-disk": Fault("[MB]", "fill the storage, except for VALUE MB", _fill_disk),
    "free-disk": Fault("", "end fill-disk", _free_disk),
    "heat": Fault("[C]", "sensors read 95 °C, or VALUE", _heat),
    "throttle": Fault("", "lower the clocks, with a thermal status", _throttle),
    "cool": Fault("", "end heat, throttle and drain", _cool),
    "drain": Fault("[PERCENT]", "battery at 5 %, or VALUE", _drain, ("phone",)),
    "refuse-key": Fault("", "rejecting all keys", _refuse_key),
    "accept-key": Fault("", "end refuse-key", _accept_key),
    "change-host-key": Fault(
        "", "switch to another host key, or back", _change_host_key, ("jetson", "host")
    ),
    "kill-process": Fault(
        "[TEXT]", "kill the largest process, or one that contains VALUE", _kill_process
    ),
    "clock-jump": Fault(
        "[SECONDS]", "set the clock an hour ahead, or VALUE s; 0 restores it", _clock_jump
    ),
}


def _number(value: str, default: float) -> float:
    try:
        return float(value) if value else default
    except ValueError:
        raise StepFailed(f"'{value}' is not a number") from None


def _zones(board: Board) -> list[Path]:
    return sorted((board.sys / sysfs.THERMAL).glob("thermal_zone*"))


def _write(path: Path, value: int) -> None:
    path.write_text(f"{value}\n")


def _resident(pid: int) -> int:
    """Pages in memory."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
