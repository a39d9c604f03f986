"""One holder a device: however they come, whatever the clock does, and whoever was killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.errors import DeviceLost, StepFailed
from harness.ondevice import lease
from harness.transports import Completed, OnLine
from harness.transports.local import LocalTransport

ROOT = Path(__file__).parents[2]
NOBODY = 65534


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
        "pixel is in use by ann@desk pid 7, run r1; its lease expires at "
    )
    assert raised.value.hint.startswith("Wait until that run has ended")
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

    mine = lease.Lease(transport, f"{workdir}/lease", "ann", 60)
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
        with pytest.raises(StepFailed, match="bob has acquired the device"):
            held.check()
        with pytest.raises(StepFailed, match="bob has acquired the device"):
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
        pytest.raises(StepFailed, match=r"cannot write a lease to .*/file/lease"),
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
def test_every_shell_claims_and_sees(
    workdir: str, clock: Clock, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_LEASES", f"{workdir}/all users")
    Path(workdir).mkdir()
    run = [shell, "sh"] if shell == "busybox" else [shell]

    def ask(script: str, *argv: str) -> str:
        done = subprocess.run(
            [*run, "-c", script, "sh", f"{workdir}/lease", *argv],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.strip()

    for shared in ("", "shared"):
        assert ask(lease._CLAIM, shared, "a1", "60", "ann's; $HOME", "") == ""
        assert ask(lease._CLAIM, shared, "a1", "60", "ann's; $HOME", "") == ""
        assert ask(lease._CLAIM, shared, "a2", "60", "bob", "") == "held=60 ann's; $HOME"
        assert ask(lease._LOOK, shared) == "held=60 ann's; $HOME"
        clock.set(1061)
        assert ask(lease._CLAIM, shared, "a2", "60", "bob", "") == "over=ann's; $HOME"
        assert ask(lease._RELEASE, shared, "a2") == ""
        assert list(Path(workdir, "all users" if shared else "lease").iterdir()) == []
        clock.set(1000)
    assert stat.S_IMODE(Path(workdir, "all users").stat().st_mode) == 0o1777


# ---- a folder that all users of a host share ---------------------------------------------------


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, made by nobody so far, where all users can come to."""
    with tempfile.TemporaryDirectory(prefix="bench-test-") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("BENCH_LEASES", f"{folder}/leases")
        yield Path(folder, "leases")


def open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)


def claim_as(user: int, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", lease._CLAIM, "sh", *argv],
        user=user, group=user, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip


as_root = pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")


@as_root
def test_another_user_is_kept_out_and_removes_nothing(transport: Cable, shared: Path) -> None:
    with lease.hold(transport, "", "ann", shared="/tmp/any"):
        done = claim_as(NOBODY, "/tmp/any", "shared", "b0b", "60", "bob", "")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.strip().endswith(" ann")
        assert done.stdout.startswith("held=")
        assert len(list(shared.iterdir())) == 1
    assert list(shared.iterdir()) == []


@as_root
def test_another_user_s_stale_claim_stops_nobody(transport: Cable, shared: Path) -> None:
    open_to_all(shared)
    assert claim_as(NOBODY, "/tmp/any", "shared", "b0b", "0", "bob", "").returncode == 0
    time.sleep(1.1)
    with lease.hold(transport, "", "ann", shared="/tmp/any") as mine:
        assert mine.taken_over == ()
    assert [path.name for path in shared.iterdir()] == ["b0b"]


def test_a_shared_folder_that_is_a_link_is_refused(
    transport: Cable, shared: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    (victim / "abcd").mkdir(parents=True)
    (victim / "abcd" / "claim").write_text("mine")
    victim.chmod(0o1777)
    shared.symlink_to(victim)
    with (
        pytest.raises(StepFailed, match=r"leases: is a link$"),
        lease.hold(transport, "", "ann", shared="/tmp/any"),
    ):
        pass
    assert lease.holder(transport, "", "/tmp/any") is None
    assert (victim / "abcd" / "claim").read_text() == "mine"


@as_root
def test_a_shared_folder_where_others_could_remove_claims_is_refused(shared: Path) -> None:
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    done = claim_as(NOBODY, "/tmp/any", "shared", "b0b", "60", "bob", "")
    assert done.returncode == 1
    assert done.stderr == f"{shared}: all users must be able to write it (mode 1777)\n"
    assert list(shared.iterdir()) == []


def test_nothing_but_claims_is_touched_in_a_shared_folder(transport: Cable, shared: Path) -> None:
    open_to_all(shared)
    (shared / "photos").mkdir()
    (shared / "beef").mkdir()
    (shared / "beef" / "precious").write_text("x")
    victim = shared.parent / "victim"
    victim.mkdir()
    (victim / "claim").write_text("at=1\nlasts=1\n")
    (shared / "dead").symlink_to(victim)
    with lease.hold(transport, "", "ann", shared="/tmp/any"):
        pass
    assert sorted(path.name for path in shared.iterdir()) == ["beef", "dead", "photos"]
    assert (shared / "beef" / "precious").read_text() == "x"
    assert (victim / "claim").exists()


@pytest.mark.parametrize(
    "numbers", [("9" * 400, "60"), ("1", "9" * 400), ("9" * 12, "9" * 6), ("09", "60"), ("9", "08")]
)
def test_a_claim_of_absurd_length_stops_nobody(
    transport: Cable, shared: Path, numbers: tuple[str, str]
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    open_to_all(shared)
    (shared / "b0b").mkdir()
    at, lasts = numbers
    (shared / "b0b" / "claim").write_text(f"owner=bob\nboot={boot}\nat={at}\nlasts={lasts}\n")
    with lease.hold(transport, "", "ann", shared="/tmp/any"):
        pass


def test_a_claim_that_is_a_pipe_is_not_waited_for(transport: Cable, shared: Path) -> None:
    open_to_all(shared)
    (shared / "b0b").mkdir()
    os.mkfifo(shared / "b0b" / "claim")
    began = time.monotonic()
    with lease.hold(transport, "", "ann", shared="/tmp/any"):
        pass
    assert time.monotonic() - began < 10


def test_who_has_the_host_s_own_lock_looks_at_claims_of_other_machines_only(
    transport: Cable, shared: Path
) -> None:
    killed = lease.Lease(transport, "/tmp/any", "ann", 60, shared=True, local=True)
    assert killed._claim() is None
    with lease.hold(transport, "", "bob", shared="/tmp/any", local=True):
        assert len(list(shared.iterdir())) == 1
        with (
            pytest.raises(lease.InUse, match="pixel is in use by bob"),
            lease.hold(transport, "", "eve", shared="/tmp/any"),
        ):
            pass
    with (
        lease.hold(transport, "", "eve", shared="/tmp/any"),
        pytest.raises(lease.InUse, match="pixel is in use by eve"),
        lease.hold(transport, "", "bob", shared="/tmp/any", local=True),
    ):
        pass


# ---- what was measured while it was lost -------------------------------------------------------


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """This machine's clock, of one entry."""
    now = [1000.0]
    monkeypatch.setattr(lease, "clock", lambda: now[0])
    return now


def test_a_lease_that_is_renewed_leaves_nothing_unsure(
    transport: Cable, workdir: str, seconds: list[float]
) -> None:
    with lease.hold(transport, workdir, "ann") as mine:
        mine.confirm()
        assert mine.why_unsure(1000.0) is None
        seconds[0] += 60
        mine._claim_again()
        seconds[0] += 100
        assert mine.why_unsure(1000.0) is None


def test_what_was_measured_after_a_lease_ran_out_is_unsure_though_nobody_took_it(
    transport: Cable, workdir: str, seconds: list[float]
) -> None:
    with lease.hold(transport, workdir, "ann") as mine:
        transport.plugged = False
        seconds[0] += 500
        with pytest.raises(DeviceLost):
            mine.why_unsure(1000.0)
        transport.plugged = True
        why = "the lease was lost: it was not renewed for more than 120 s"
        assert mine.why_unsure(1000.0) == why
        mine.confirm()
        seconds[0] += 1
        assert mine.why_unsure(seconds[0]) is None
        assert mine.why_unsure(1000.0) == why


def test_what_was_measured_while_another_took_it_is_unsure(
    transport: Cable, workdir: str, seconds: list[float], clock: Clock
) -> None:
    claim = lease.hold(transport, workdir, "ann", lasts_s=60)
    mine = claim.__enter__()
    seconds[0] += 200
    clock.set(1200)
    with lease.hold(Cable("pixel"), workdir, "bob"):
        assert mine.why_unsure(1000.0) == (
            "the lease was lost: no contact for 60 s, and bob has acquired the device"
        )
        with pytest.raises(lease.InUse, match="pixel is in use by bob"):
            mine.confirm()
    mine.confirm()
    claim.__exit__(None, None, None)
