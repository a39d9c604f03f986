"""One holder of a lock at a time, who is named to the others, and who leaves nothing by dying."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import locks
from harness.errors import BenchError, RunEnds

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from harness import locks
with locks.held(Path(sys.argv[1]), "it", "run r1", remove=len(sys.argv) > 2):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(path: Path, *more: str) -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_process_is_told_user_host_process_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_elsewhere(path) as other:
        with pytest.raises(locks.Locked) as raised, locks.held(path, "run r1"):
            pass
        seen = locks.holder(path)
        other.communicate()
    mine = locks.whoami()
    assert seen
    assert raised.value.message == f"run r1 is in use by {seen.text}"
    assert seen.text.startswith(f"{mine.user}@{mine.host} pid {other.pid}, run r1, since 20")
    assert raised.value.hint == "Wait until that process has ended, or end it."
    assert locks.holder(path) is None
    with locks.held(path, "it"):
        pass


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_elsewhere(path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert path.read_text() != ""
    assert locks.holder(path) is None
    with locks.held(path, "it"):
        pass
    assert path.read_text() == ""


def test_who_waits_is_told_once_and_then_has_it(tmp_path: Path) -> None:
    path, said = tmp_path / "lock", list[str]()
    with hold_elsewhere(path, "remove") as other:
        timer = threading.Timer(0.7, other.communicate)
        timer.start()
        with locks.held(path, "it", on_wait=said.append) as lock:
            assert lock.stands()
        timer.join()
    assert len(said) == 1
    assert f"pid {other.pid}, run r1" in said[0]


def test_waiting_ends_when_it_is_told_to(tmp_path: Path) -> None:
    path, stop = tmp_path / "lock", threading.Event()
    with hold_elsewhere(path) as other:
        threading.Timer(0.3, stop.set).start()
        with (
            pytest.raises(locks.Locked),
            locks.held(path, "it", on_wait=lambda text: None, stop=stop),
        ):
            pass
        other.communicate()


def test_of_many_threads_and_removed_files_one_holds_it_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def want(number: int) -> None:
        for _ in range(5):
            with locks.held(tmp_path / "lock", "it", on_wait=lambda text: None, remove=True):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.002)
                inside.remove(number)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (30, 1)
    assert not (tmp_path / "lock").exists()


def test_a_lock_file_that_was_replaced_does_not_stand(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.held(path, "it") as lock:
        assert lock.stands()
        path.unlink()
        assert not lock.stands()
        path.write_text("")
        assert not lock.stands()
    assert path.exists()


def test_somebody_who_only_looks_is_not_taken_for_a_holder(tmp_path: Path) -> None:
    path, over = tmp_path / "lock", threading.Event()
    path.write_text("")

    def look() -> None:
        while not over.is_set():
            locks.holder(path)
            time.sleep(0.001)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with locks.held(path, "it"):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()


@pytest.mark.parametrize("make", ["link", "dangling", "hard link", "fifo", "folder"])
def test_what_is_no_lock_file_is_neither_followed_nor_written(tmp_path: Path, make: str) -> None:
    path, victim = tmp_path / "lock", tmp_path / "victim"
    if make != "dangling":
        victim.write_text("private")
    if make in ("link", "dangling"):
        path.symlink_to(victim)
    elif make == "hard link":
        path.hardlink_to(victim)
    elif make == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(BenchError) as raised, locks.held(path, "it"):
        pass
    assert raised.value.message == f"{path}: not a lock file of bench"
    assert victim.exists() == (make != "dangling")
    if victim.exists():
        assert victim.read_text() == "private"
    assert locks.holder(path) is None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BenchError) as raised, locks.held(tmp_path / "lock", "it"):
        pass
    assert raised.value.message == (
        f"{tmp_path / 'lock'}: its file system has no locks (flock): {os.strerror(number)}"
    )
    assert raised.value.hint == "Use a folder on a local disk, or mount it with locks."


@pytest.mark.parametrize("text", ["", "{", '{"user": 7}', "\xff" * 5000, "[" * 4000])
def test_a_holder_that_says_nothing_sensible_is_another_process(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    path.write_text(text, "latin-1")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(locks.Locked) as raised, locks.held(path, "run r1"):
            pass
    assert raised.value.message == "run r1 is in use by another process"


def test_what_a_holder_says_reaches_no_terminal_raw() -> None:
    holder = locks.LockHolder("a\x1b]8;;x\x07nn", "d\nesk", 7, 1e300, "x" * 5000)
    assert holder.text.startswith("ann@d esk pid 7, xxx")
    assert len(holder.text) == 300


def test_a_full_disk_takes_no_lock_and_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(locks, "_create", lambda path, mode: _raise(locks._refused(path, _full())))
    with pytest.raises(RunEnds), locks.held(tmp_path / "lock", "it"):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(os, "pwrite", full)
    with locks.held(tmp_path / "lock", "it") as lock:
        assert lock.stands()


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _raise(error: Exception) -> int:
    raise error
