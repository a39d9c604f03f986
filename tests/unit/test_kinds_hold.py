"""What is changed on a device is put back: at the end, after any crash of ours, by the device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import kinds
from harness.errors import DeviceLost, StepFailed
from harness.kinds import hold, hold_scripts, linux
from harness.transports import Completed, OnLine
from harness.transports.local import LocalTransport

GOVERNORS = {"policy0": "schedutil", "policy4": "ondemand"}
ROOT = Path(__file__).parents[2]
SHELLS = {"dash": ["dash"], "bash": ["bash"], "mksh": ["mksh"], "busybox": ["busybox", "sh"]}


def there(command: str) -> bool:
    found = subprocess.run(["which", command], capture_output=True, check=False)
    return found.returncode == 0


class Board:
    """A made-up device: its files under `root`, its commands on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin = folder / "root", folder / "bin"
        self.workdir = folder / "work"
        self.cpufreq = self.root / "sys/devices/system/cpu/cpufreq"
        for policy, governor in GOVERNORS.items():
            (self.cpufreq / policy).mkdir(parents=True)
            (self.cpufreq / policy / "scaling_governor").write_text(governor + "\n")
        (self.root / "etc").mkdir()
        (self.root / "etc/nvpmodel.conf").write_text(
            "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\n"
            "< POWER_MODEL ID=1 NAME=7W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
        )
        self.bin.mkdir()
        self._commands(folder)

    def _commands(self, folder: Path) -> None:
        for name, value in (("mode", "1"), ("clocks", "idle"), ("fixed", "false"), ("stay", "2")):
            (folder / name).write_text(value + "\n")
        self._command(
            "nvpmodel",
            f"""case $1 in -q) echo "NV Power Mode: X"; cat {folder}/mode ;;
            -m) echo "$2" >{folder}/mode ;; esac""",
        )
        self._command(
            "jetson_clocks",
            f"""case $1 in --store) cp {folder}/clocks "$2" ;;
            --restore) cp "$2" {folder}/clocks ;; *) echo max >{folder}/clocks ;; esac""",
        )
        self._command("cmd", f'echo "$3" >{folder}/fixed')
        self._command(
            "settings",
            f"""case $1 in get) cat {folder}/stay ;;
            put) echo "$4" >{folder}/stay ;; delete) echo null >{folder}/stay ;; esac""",
        )
        self._command("input", "exit 0")
        self.values = [folder / name for name in ("mode", "clocks", "fixed", "stay")]

    def _command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        path = f"{self.bin}:{os.environ['PATH']}"
        return {**os.environ, "BENCH_SYSFS": str(self.root), "PATH": path}

    def state(self) -> list[str]:
        files = [self.cpufreq / policy / "scaling_governor" for policy in GOVERNORS]
        return [path.read_text().strip() for path in (*files, *self.values)]

    def records(self) -> list[Path]:
        return list(self.workdir.rglob("restore/*/*"))


BEFORE = ["schedutil", "ondemand", "1", "idle", "false", "2"]
HELD = ["performance", "performance", "2", "max", "true", "7"]
MEASURES = ["nvpmodel", "jetson_clocks", "fixed_performance", "stay_awake", "governor"]
#: for a device that is a bit of everything
SPEC = kinds.KindSpec("all", "All", "~/x", ("image",), dict.fromkeys(MEASURES, "a measure"))


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    made = Board(tmp_path)
    monkeypatch.setenv("BENCH_SYSFS", str(made.root))
    monkeypatch.setenv("PATH", made.env["PATH"])
    return made


@pytest.fixture
def transport() -> LocalTransport:
    return LocalTransport("dut")


def wait_until_put_back(board: Board, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while board.state() != BEFORE or board.records():
        assert time.monotonic() < until, (board.state(), board.records())
        time.sleep(0.05)


def watchdogs(board: Board) -> list[int]:
    """Processes whose command line has the board's records."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{board.workdir}/restore/".encode() in line:
                found.append(int(folder.name))
    return found


# ---- in order ----------------------------------------------------------------------------------


def test_measures_are_in_force_inside_and_put_back_after(
    board: Board, transport: LocalTransport
) -> None:
    with hold.steady(transport, SPEC, MEASURES, str(board.workdir)) as in_force:
        assert board.state() == HELD
        assert in_force == (
            "nvpmodel=X", "jetson_clocks=on", "fixed_performance=on", "stay_awake=on",
            "governor=performance",
        )  # fmt: skip
        assert len(watchdogs(board)) == 1
    assert board.state() == BEFORE
    assert not (board.workdir / "restore").exists()
    assert watchdogs(board) == []


def test_what_the_file_does_not_allow_is_left(board: Board, transport: LocalTransport) -> None:
    with hold.steady(transport, SPEC, ["stay_awake"], str(board.workdir)) as in_force:
        assert board.state() == [*BEFORE[:5], "7"]
    assert in_force == ("stay_awake=on",)
    with hold.steady(transport, SPEC, [], str(board.workdir)) as in_force:
        assert board.state() == BEFORE
    assert in_force == ()
    assert not (board.workdir / "restore").exists()


def test_a_failure_inside_puts_back_and_is_what_is_raised(
    board: Board, transport: LocalTransport
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        hold.steady(transport, SPEC, MEASURES, str(board.workdir)),
    ):
        raise ZeroDivisionError
    assert board.state() == BEFORE


def test_a_setting_that_was_not_there_is_deleted(board: Board, transport: LocalTransport) -> None:
    board.values[3].write_text("null\n")
    with hold.steady(transport, SPEC, ["stay_awake"], str(board.workdir)):
        assert board.state()[5] == "7"
    assert board.state()[5] == "null"


def test_without_cpufreq_the_governor_is_a_clear_no(
    board: Board, transport: LocalTransport
) -> None:
    for policy in GOVERNORS:
        (board.cpufreq / policy / "scaling_governor").unlink()
    with (
        pytest.raises(StepFailed) as raised,
        linux.steady(transport, ["governor"], str(board.workdir)),
    ):
        pass
    assert raised.value.message == ("dut: cannot apply governor: no cpufreq (virtual machine?)")
    assert "remove `governor` from `steady` in devices/dut.yaml" in raised.value.hint
    assert not (board.workdir / "restore").exists()


def test_a_measure_that_is_refused_undoes_those_before_it(
    board: Board, transport: LocalTransport
) -> None:
    (board.bin / "cmd").write_text(
        "#!/bin/sh\necho Failed to set FIXED_PERFORMANCE mode\necho This is likely because\n"
    )
    with (
        pytest.raises(StepFailed, match="cannot apply fixed_performance: Failed to set"),
        hold.steady(transport, SPEC, MEASURES, str(board.workdir)),
    ):
        pass
    assert board.state() == BEFORE
    assert watchdogs(board) == []


def test_a_record_that_cannot_be_written_stops_before_the_change(
    board: Board, transport: LocalTransport
) -> None:
    (board.bin / "mv").write_text("#!/bin/sh\nexit 1\n")
    (board.bin / "mv").chmod(0o755)
    with (
        pytest.raises(StepFailed, match="the old settings cannot be recorded in"),
        hold.steady(transport, SPEC, ["governor"], str(board.workdir)),
    ):
        pass
    assert board.state() == BEFORE


def test_what_cannot_be_put_back_is_an_error_and_stays_recorded(
    board: Board, transport: LocalTransport
) -> None:
    leave(board)
    (board.bin / "nvpmodel").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(StepFailed) as raised:
        hold.restore(transport, str(board.workdir))
    assert raised.value.message == "dut: cannot restore nvpmodel: 1"
    assert board.state() == ["schedutil", "ondemand", "2", "idle", "false", "2"]
    assert [path.name for path in board.records() if path.name[0].isdigit()] == ["9-nvpmodel"]


# ---- crashes -----------------------------------------------------------------------------------


def leave(board: Board, looks: tuple[str, str] = ("600", "9"), script: str = "") -> int:
    """Take all measures and go away without a word."""
    folder = str(board.workdir / "restore" / "00")
    argv = ["sh", "-c", script or hold_scripts.HOLD, "sh", folder, hold_scripts.WATCH, *looks]
    return subprocess.run(
        [*argv, *MEASURES], env=board.env, capture_output=True, start_new_session=True, check=False
    ).returncode


def test_the_next_contact_puts_back_and_says_what(board: Board, transport: LocalTransport) -> None:
    leave(board)
    assert board.state() == HELD
    assert hold.restore(transport, str(board.workdir)) == (
        "governor: schedutil", "governor: ondemand", "stay_awake: 2", "fixed_performance: off",
        "jetson_clocks: as it was", "nvpmodel: 1",
    )  # fmt: skip
    assert board.state() == BEFORE
    assert watchdogs(board) == []
    assert hold.restore(transport, str(board.workdir)) == ()


def test_a_new_holder_puts_back_before_it_looks_what_was_there(
    board: Board, transport: LocalTransport
) -> None:
    leave(board)
    with hold.steady(transport, SPEC, MEASURES, str(board.workdir)):
        assert board.state() == HELD
    assert board.state() == BEFORE


def crashes(script: str) -> Iterator[str]:
    """The script with its end after each line after which a command may stand."""
    lines = script.splitlines()
    for number in range(1, len(lines)):
        text = "\n".join((*lines[:number], "kill -9 $$", *lines[number:])) + "\n"
        checked = subprocess.run(["sh", "-n", "-c", text], capture_output=True, check=False)
        if checked.returncode == 0:
            yield text


@pytest.mark.slow
def test_a_device_that_stops_while_it_takes_is_put_back(
    board: Board, transport: LocalTransport
) -> None:
    seen: set[tuple[str, ...]] = set()
    for script in crashes(hold_scripts.HOLD):
        leave(board, script=script)
        seen.add(tuple(board.state()))
        hold.restore(transport, str(board.workdir))
        assert (board.state(), board.records()) == (BEFORE, []), script
    assert len(seen) > 5  # it had stopped before, between and after the measures


@pytest.mark.slow
def test_a_device_that_stops_while_it_puts_back_goes_on_at_the_next_contact(
    board: Board, transport: LocalTransport
) -> None:
    seen: set[tuple[str, ...]] = set()
    for script in crashes(hold_scripts.RESTORE):
        leave(board)
        broken = ["sh", "-c", script, "sh", str(board.workdir)]
        subprocess.run(broken, env=board.env, capture_output=True, check=False)
        seen.add(tuple(board.state()))
        hold.restore(transport, str(board.workdir))
        assert (board.state(), board.records()) == (BEFORE, []), script
    assert len(seen) > 2


@pytest.mark.slow
@pytest.mark.parametrize("after_ms", range(0, 400, 20))
def test_a_contact_while_the_device_still_takes_ends_that_first(
    board: Board, transport: LocalTransport, after_ms: int
) -> None:
    folder = str(board.workdir / "restore" / "00")
    argv = ["sh", "-c", hold_scripts.HOLD, "sh", folder, hold_scripts.WATCH, "600", "9"]
    with subprocess.Popen(
        [*argv, *MEASURES], env=board.env, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as taking:  # fmt: skip
        time.sleep(after_ms / 1000)
        hold.restore(transport, str(board.workdir))
        taking.wait(10)
    hold.restore(transport, str(board.workdir))
    assert (board.state(), board.records()) == (BEFORE, [])


@pytest.mark.parametrize("missing", [2, 3, 4, 5, 6, 15, 40])
def test_a_record_without_its_end_changes_nothing(
    board: Board, transport: LocalTransport, missing: int
) -> None:
    folder = board.workdir / "restore/00"
    folder.mkdir(parents=True)
    path = board.cpufreq / "policy0/scaling_governor"
    (folder / "9-governor").write_text(f"file {path} powersave\nend\n"[:-missing])
    assert hold.restore(transport, str(board.workdir)) == ()
    assert board.state() == BEFORE
    assert board.records() == []


def test_a_cpu_that_is_gone_has_nothing_to_put_back(
    board: Board, transport: LocalTransport
) -> None:
    leave(board)
    (board.cpufreq / "policy4/scaling_governor").unlink()
    (board.cpufreq / "policy4").rmdir()
    assert "governor: schedutil" in hold.restore(transport, str(board.workdir))
    assert not (board.workdir / "restore").exists()


# ---- the device by itself ----------------------------------------------------------------------


def test_the_device_lets_go_by_itself_when_it_hears_nothing(board: Board) -> None:
    leave(board, looks=("0.1", "3"))
    wait_until_put_back(board)
    assert not (board.workdir / "restore/00").exists()


def test_it_does_not_let_go_while_it_hears_of_us(board: Board, transport: LocalTransport) -> None:
    with hold.steady(transport, SPEC, MEASURES, str(board.workdir), beat_s=0.1, stale_s=1.5):
        time.sleep(3.5)
        assert board.state() == HELD
    assert board.state() == BEFORE


def test_who_was_not_heard_of_is_told_that_it_does_not_count(
    board: Board, transport: LocalTransport
) -> None:
    with (
        pytest.raises(DeviceLost, match="lost contact for 0.4 s; the watchdog restored the clock"),
        hold.steady(transport, SPEC, ["governor"], str(board.workdir), beat_s=60, stale_s=0.4),
    ):
        wait_until_put_back(board)


class Dying:
    """Kills this process at a point: before, while or after the device works on it."""

    def __init__(self, point: str, when: str) -> None:
        self.name, self._point, self._when = "dut", point, when
        self._inner = LocalTransport("dut")
        self._holds = False

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        if self._now(argv[2]) != self._point:
            return self._inner.run(argv, timeout_s=timeout_s, on_line=on_line)
        if self._when == "meanwhile":
            subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL)
        elif self._when == "after":
            self._inner.run(argv, timeout_s=timeout_s, on_line=on_line)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def _now(self, script: str) -> str:
        if script == hold_scripts.RESTORE:
            return "end" if self._holds else "begin"
        self._holds = True
        return {hold_scripts.HOLD: "take", hold_scripts.BEAT: "beat"}[script]


def hold_and_die(workdir: str, point: str, when: str) -> None:
    transport: Any = Dying(point, when)
    with hold.steady(transport, SPEC, MEASURES, workdir, beat_s=0.2, stale_s=1.2):
        time.sleep(60 if point == "beat" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
@pytest.mark.parametrize("point", ["begin", "take", "beat", "end"])
@pytest.mark.parametrize("contact", [True, False])
def test_a_killed_holder_leaves_nothing_changed(
    board: Board, transport: LocalTransport, point: str, when: str, contact: bool
) -> None:
    call = (
        f"import test_kinds_hold as t; t.hold_and_die({str(board.workdir)!r}, {point!r}, {when!r})"
    )
    env = {**board.env, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    done = subprocess.run([sys.executable, "-c", call], env=env, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if contact:
        hold.restore(transport, str(board.workdir))
        time.sleep(0.5)  # what was started would go on without us
        hold.restore(transport, str(board.workdir))
        assert (board.state(), board.records()) == (BEFORE, [])
    else:
        time.sleep(0.5)
        wait_until_put_back(board)


# ---- shells ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", [name for name in SHELLS if there(SHELLS[name][0])])
def test_every_shell_takes_and_puts_back(board: Board, shell: str) -> None:
    """mksh and busybox are what phones and small boards have."""
    folder = str(board.workdir / "restore" / "00")
    run = [*SHELLS[shell], "-c"]
    took = subprocess.run(
        [*run, hold_scripts.HOLD, "sh", folder, hold_scripts.WATCH, "600", "9", *MEASURES],
        env=board.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (took.returncode, took.stderr) == (0, ""), took.stdout
    assert board.state() == HELD
    subprocess.run([*run, hold_scripts.BEAT, "sh", folder, "7"], env=board.env, check=True)
    assert (Path(folder) / "beat").read_text() == "7\n"
    gave = subprocess.run(
        [*run, hold_scripts.RESTORE, "sh", str(board.workdir)],
        env=board.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (gave.returncode, gave.stderr) == (0, "")
    assert board.state() == BEFORE
    assert watchdogs(board) == []
