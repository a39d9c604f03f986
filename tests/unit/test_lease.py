"""One holder a device: however they come, whatever the clock does, and whoever was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import DeviceLost, StepFailed
from harness.ondevice import lease
from harness.transports import Completed, OnLine
from harness.transports.local import LocalTransport

ROOT = Path(__file__).parents[2]


class Clock:
    """The device's uptime and boot id."""

    def __init__(self, root: Path) -> None:
        self._proc = root / "proc"
        (self._proc / "sys/kernel/random").mkdir(parents=True)
        self.boot("b-1")
        self.set(1000)

    def set(self, uptime_s: int) -> None:
        (self._proc / "uptime").write_text(f"{uptime_s}.37 1234.56\n")

    def boot(self, name: str) -> None:
        (self._proc / "sys/kernel/random/boot_id").write_text(name + "\n")


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("BENCH_SYSFS", str(tmp_path / "root"))
    return Clock(tmp_path / "root")


@pytest.fixture
def workdir(tmp_path: Path) -> str:
    return str(tmp_path / "work dir")


class Cable(LocalTransport):
    """A device that can be unplugged."""

    plugged = True

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        if not self.plugged:
            raise DeviceLost(f"{self.name}: gone")
        return super().run(argv, timeout_s=timeout_s, on_line=on_line)


@pytest.fixture
def transport() -> Cable:
    return Cable("pixel")


def test_a_second_holder_is_told_who_has_it_and_until_when(transport: Cable, workdir: str) -> None:
    with lease.hold(transport, workdir, "ann@desk pid 7, run r1") as mine:
        with pytest.raises(StepFailed) as raised, lease.hold(transport, workdir, "bob@desk pid 8"):
            pass
        seen = lease.holder(transport, workdir)
        assert seen is not None
        assert seen.owner == "ann@desk pid 7, run r1"
        assert 100 < seen.left_s <= lease.LASTS_S
        assert mine.taken_over == ()
    assert raised.value.message.startswith(
        "pixel is in use by ann@desk pid 7, run r1; its lease runs until "
    )
    assert raised.value.hint.startswith("wait until that run is over")
    assert lease.holder(transport, workdir) is None
    assert list(Path(workdir, "lease").iterdir()) == []
    with lease.hold(transport, workdir, "bob@desk pid 8"):
        pass


def test_a_stale_lease_is_taken_over_and_named(
    transport: Cable, workdir: str, clock: Clock
) -> None:
    first = lease.hold(transport, workdir, "ann", lasts_s=60)
    first.__enter__()
    clock.set(1060)
    with pytest.raises(StepFailed), lease.hold(transport, workdir, "bob"):
        pass
    clock.set(1061)
    assert lease.holder(transport, workdir) is None
    with lease.hold(transport, workdir, "bob") as taken:
        assert taken.taken_over == ("ann",)
        seen = lease.holder(transport, workdir)
        assert seen is not None
        assert seen.owner == "bob"
    first.__exit__(None, None, None)


@pytest.mark.parametrize(("boot", "uptime_s"), [("b-2", 1001), ("b-2", 5000), ("b-1", 12)])
def test_a_lease_from_before_a_reboot_is_stale(
    transport: Cable, workdir: str, clock: Clock, boot: str, uptime_s: int
) -> None:
    first = lease.hold(transport, workdir, "ann")
    first.__enter__()
    clock.boot(boot)
    clock.set(uptime_s)
    with lease.hold(transport, workdir, "bob") as taken:
        assert taken.taken_over == ("ann",)
    first.__exit__(None, None, None)


@pytest.mark.parametrize("content", [b"", b"owner=x\n", b"at=5\nlasts=", b"\xff\0\n", b"at=a\n"])
def test_a_damaged_claim_stops_nobody(transport: Cable, workdir: str, content: bytes) -> None:
    claim = Path(workdir) / "lease" / "dead" / "claim"
    claim.parent.mkdir(parents=True)
    claim.write_bytes(content)
    with lease.hold(transport, workdir, "bob"):
        assert not claim.parent.exists()


def test_a_wall_clock_that_jumps_changes_nothing(
    transport: Cable, workdir: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    date = tmp_path / "bin/date"
    date.write_text("#!/bin/sh\necho 9999999999\n")
    date.chmod(0o755)
    with lease.hold(transport, workdir, "ann"):
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        with pytest.raises(StepFailed), lease.hold(transport, workdir, "bob"):
            pass


def test_it_is_renewed_while_it_is_held(transport: Cable, workdir: str) -> None:
    with lease.hold(transport, workdir, "ann", lasts_s=2):
        time.sleep(4)
        seen = lease.holder(transport, workdir)
        assert seen is not None
        assert seen.owner == "ann"


def test_a_newcomer_does_not_disturb_a_renewal(transport: Cable, workdir: str) -> None:
    """Both write and look at the same time, again and again; the holder keeps it."""
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            with pytest.raises(StepFailed), lease.hold(Cable("pixel"), workdir, "bob"):
                pass

    mine = lease.Lease(transport, workdir, "ann", 60)
    mine._take()
    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        assert [mine._claim() for _ in range(40)] == [None] * 40
    finally:
        over.set()
        knocking.join()
        mine._release()


def test_who_lost_it_meanwhile_is_told(transport: Cable, workdir: str, clock: Clock) -> None:
    ann = lease.hold(transport, workdir, "ann", lasts_s=1)
    held = ann.__enter__()
    transport.plugged = False
    clock.set(1100)
    with lease.hold(Cable("pixel"), workdir, "bob"):
        transport.plugged = True
        until = time.monotonic() + 20
        while held._lost_to is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(StepFailed, match="bob has taken the device over"):
            held.check()
        with pytest.raises(StepFailed, match="bob has taken the device over"):
            ann.__exit__(None, None, None)
        seen = lease.holder(transport, workdir)
        assert seen is not None
        assert seen.owner == "bob"


def test_a_device_that_is_gone_at_the_end_is_no_error(transport: Cable, workdir: str) -> None:
    with lease.hold(transport, workdir, "ann"):
        transport.plugged = False


def test_a_folder_that_cannot_be_made_is_a_clear_no(transport: Cable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StepFailed, match=r"no lease can be written to .*/file/lease"),
        lease.hold(transport, str(tmp_path / "file"), "ann"),
    ):
        pass


def test_of_many_at_once_one_has_it_at_a_time(workdir: str) -> None:
    inside: list[int] = []
    most: list[int] = []
    got: list[str] = []

    def want(number: int) -> None:
        try:
            with lease.hold(Cable("pixel"), workdir, f"n{number}"):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.1)
                inside.remove(number)
                got.append(f"n{number}")
        except StepFailed:
            pass

    threads = [threading.Thread(target=want, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most, default=0) <= 1
    assert list(Path(workdir, "lease").iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2])
def test_a_killed_holder_s_lease_runs_out(transport: Cable, workdir: str, seconds: float) -> None:
    code = (
        "import sys\nfrom harness.ondevice import lease\n"
        "from harness.transports.local import LocalTransport\n"
        f"with lease.hold(LocalTransport('pixel'), {workdir!r}, 'ann', lasts_s=2):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    until = time.monotonic() + 20
    while lease.holder(transport, workdir):
        assert time.monotonic() < until
        time.sleep(0.2)
    with lease.hold(transport, workdir, "bob") as taken:
        assert taken.taken_over == ("ann",)


@pytest.mark.parametrize(
    "shell", [s for s in ("dash", "bash", "mksh", "busybox") if Path("/bin", s).exists()]
)
def test_every_shell_claims_and_sees(workdir: str, clock: Clock, shell: str) -> None:
    run = [shell, "sh"] if shell == "busybox" else [shell]

    def ask(script: str, *argv: str) -> str:
        done = subprocess.run(
            [*run, "-c", script, "sh", workdir, *argv], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.strip()

    assert ask(lease._CLAIM, "t1", "60", "ann's; $HOME") == ""
    assert ask(lease._CLAIM, "t1", "60", "ann's; $HOME") == ""
    assert ask(lease._CLAIM, "t2", "60", "bob") == "held=60 ann's; $HOME"
    assert ask(lease._LOOK) == "held=60 ann's; $HOME"
    clock.set(1061)
    assert ask(lease._CLAIM, "t2", "60", "bob") == "over=ann's; $HOME"
    assert ask(lease._RELEASE, "t2") == ""
    assert list(Path(workdir, "lease").iterdir()) == []
