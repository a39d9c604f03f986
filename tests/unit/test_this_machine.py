"""Two runs on one machine: both prepare, one measures, and the other one says who does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.kinds import LEASES
from harness.ondevice import lease
from harness.records import DeviceSpec
from harness.steps.jobs import Place
from harness.targets import this_machine
from harness.targets.target import LocalTarget
from harness.targets.this_machine import ThisMachine, shared_folder
from harness.transports.local import LocalTransport

ROOT = Path(__file__).parents[2]
HERE = LocalTransport("local")
MEASURE = """
import sys
from harness.targets.this_machine import ThisMachine
from harness.transports.local import LocalTransport
machine = ThisMachine("r1")
machine.claim(LocalTransport("local"), lambda text: None)
print("measuring", flush=True)
sys.stdin.read()
machine.release()
"""


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_LEASES", str(tmp_path / "leases"))
    monkeypatch.setattr(this_machine, "LOOK_S", 0.1)
    return tmp_path / "leases"


@pytest.fixture
def other(leases: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that measures, until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", MEASURE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "measuring\n"
        yield process
        if process.poll() is None:
            process.communicate()


def no_wait(text: str) -> None:
    pytest.fail(f"nobody is in the way: {text}")


def test_the_second_run_says_who_measures_and_waits_for_it(other: subprocess.Popen[str]) -> None:
    said: list[str] = []
    threading.Timer(1.0, other.communicate).start()
    machine = ThisMachine("r2")
    machine.claim(HERE, said.append)
    machine.release()
    assert other.returncode == 0
    (line,) = said
    assert line.startswith("this machine is in use by ")
    assert f"pid {other.pid}, run r1, since " in line


def test_a_run_that_was_killed_is_in_nobody_s_way(other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    began = time.monotonic()
    machine = ThisMachine("r2")
    machine.claim(HERE, no_wait)
    machine.release()
    assert time.monotonic() - began < 10


def test_a_run_that_prepares_is_in_nobody_s_way(tmp_path: Path) -> None:
    """Only the first trial takes the machine; leaving gives it back."""
    spec = DeviceSpec("local", "linux", "local")

    def place(image: str) -> Place:
        raise AssertionError

    with LocalTarget(spec, place, "r1") as first, LocalTarget(spec, place, "r2") as second:
        second.claim(no_wait)
        second.claim(no_wait)
        assert second.why_unsure(lease.clock() - 1) is None
        assert first.why_unsure(0.0) is None
    with LocalTarget(spec, place, "r3") as third:
        third.claim(no_wait)


def test_who_comes_over_ssh_sees_that_this_machine_is_measured(
    other: subprocess.Popen[str],
) -> None:
    with (
        pytest.raises(lease.InUse, match=f"pid {other.pid}, run r1; its lease expires at"),
        lease.hold(LocalTransport("server"), "", "bob@desk pid 8", shared=LEASES),
    ):
        pass


def test_who_came_over_ssh_is_waited_for(leases: Path) -> None:
    said: list[str] = []
    theirs = lease.hold(LocalTransport("server"), "", "bob@desk pid 8, run r7", shared=LEASES)
    theirs.__enter__()
    threading.Timer(6.0, lambda: theirs.__exit__(None, None, None)).start()
    machine = ThisMachine("r2")
    machine.claim(HERE, said.append)
    machine.release()
    (line,) = said
    assert line.startswith("local is in use by bob@desk pid 8, run r7; its lease expires at ")
    assert [path.name for path in leases.iterdir()] == ["machine.lock"]


def test_what_was_measured_after_the_lock_file_was_removed_is_unsure(leases: Path) -> None:
    machine, since = ThisMachine("r1"), lease.clock()
    machine.claim(HERE, no_wait)
    assert machine.why_unsure(since) is None
    (leases / "machine.lock").unlink()
    assert machine.why_unsure(since) == (
        f"the lease was lost: {leases / 'machine.lock'} was removed"
    )
    machine.claim(HERE, no_wait)
    assert machine.why_unsure(lease.clock()) is None
    machine.release()


def test_a_lock_file_that_is_a_link_writes_nothing(leases: Path, tmp_path: Path) -> None:
    leases.mkdir()
    (tmp_path / "victim").write_text("private")
    (leases / "machine.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(BenchError) as raised:
        ThisMachine().claim(HERE, no_wait)
    assert raised.value.message == f"{leases / 'machine.lock'}: not a lock file of bench"
    assert (tmp_path / "victim").read_text() == "private"


def test_the_folder_is_for_all_users_whatever_the_umask(leases: Path) -> None:
    before = os.umask(0o077)
    try:
        machine = ThisMachine()
        machine.claim(HERE, no_wait)
    finally:
        os.umask(before)
    assert leases.stat().st_mode & 0o7777 == 0o1777
    assert (leases / "machine.lock").stat().st_mode & 0o777 == 0o666
    (claim,) = leases.glob("local-*/claim")
    assert claim.stat().st_mode & 0o044 == 0o044
    assert claim.parent.stat().st_mode & 0o055 == 0o055
    machine.release()


@pytest.mark.parametrize("make", ["link", "file"])
def test_a_folder_that_is_none_is_one_clear_line(leases: Path, tmp_path: Path, make: str) -> None:
    if make == "file":
        leases.write_text("")
        said = "File exists"
    else:
        (tmp_path / "victim").mkdir(mode=0o700)
        leases.symlink_to(tmp_path / "victim")
        said = "Not a directory"
    with pytest.raises(BenchError) as raised:
        shared_folder()
    assert raised.value.message == f"{leases}: {said}"
    assert raised.value.hint == (
        "Set BENCH_LEASES to a folder of mode 1777 that all users of this machine use."
    )
    if make == "link":
        assert (tmp_path / "victim").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_two_users_with_homes_of_their_own_exclude_each_other(
    other: subprocess.Popen[str], leases: Path
) -> None:
    """Another user may read who holds the lock file, and neither lock nor remove it."""
    code = (
        "import fcntl, os, sys\n"
        "file = open(sys.argv[1], 'r+')\n"
        "try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('held by', file.read())\n"
        "try: os.unlink(sys.argv[1])\n"
        "except PermissionError: print('kept')\n"
    )
    for folder in (leases.parent, leases.parents[1], leases.parents[2]):
        folder.chmod(0o755)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(leases / "machine.lock")],
        user=65534, group=65534, capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    assert f'"pid": {other.pid}' in done.stdout
    assert done.stdout.endswith("kept\n")
