"""A model that fills the disk is ended with one line, whatever way it takes."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.containers import JobSpec, Mount, disk_limit
from harness.errors import StepFailed
from harness.records import Image

from .sandboxed import environment, run

MB = 1 << 20


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return environment(tmp_path_factory.mktemp("venv") / "tiny-1")


def watch_over(folder: Path, most_bytes: int) -> disk_limit.DiskWatch:
    return disk_limit.DiskWatch((folder,), most_bytes)


def test_many_files_end_the_job(image: Image, tmp_path: Path) -> None:
    code = f"""
        import time
        for number in range(100):
            open({str(tmp_path)!r} + f"/job/{{number}}", "wb").write(bytes(1 << 20))
        time.sleep(60)
    """
    with pytest.raises(StepFailed) as raised:
        run(image, tmp_path, code, disk_bytes=20 * MB)
    assert raised.value.message == "the job wrote more than 21 MB; it was stopped"
    assert raised.value.hint == f"See the log {tmp_path / 'log.txt'}."


@pytest.mark.parametrize("name", ["job/one", "/tmp/one"])
def test_one_file_ends_at_its_limit_whatever_the_watch_sees(
    image: Image, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name.startswith("/tmp"):
        path = Path("/tmp", f"bench-hostile-{os.getpid()}")
    code = f"file = open({str(path)!r}, 'wb')\nwhile True: file.write(bytes(1 << 20))"
    try:
        with pytest.raises(StepFailed) as raised:
            run(image, tmp_path, code, disk_bytes=20 * MB)
        assert raised.value.message in (
            "the job exceeded the file size limit",
            "the job wrote more than 21 MB; it was stopped",
        )
        assert not path.exists() or path.stat().st_size <= 20 * MB
    finally:
        path.unlink(missing_ok=True)


def test_what_it_may_write_is_no_failure(image: Image, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'job/x')!r}, 'wb').write(bytes(10 << 20))"
    assert run(image, tmp_path, code, disk_bytes=20 * MB).exit_code == 0


def test_a_job_may_not_open_files_without_end(image: Image, tmp_path: Path) -> None:
    code = f"""
        try:
            files = [open({str(tmp_path / "job/x")!r}, "w") for _ in range(10_000)]
        except OSError as error:
            print(error.errno)
    """
    assert run(image, tmp_path, code).output == "24\n"


def test_no_core_file_is_left(image: Image, tmp_path: Path) -> None:
    run(image, tmp_path, f"import os; os.chdir({str(tmp_path / 'job')!r}); os.abort()")
    assert list((tmp_path / "job").iterdir()) == []


def test_a_nearly_full_disk_ends_the_job_and_leaves_room_for_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = SimpleNamespace(f_bavail=100, f_frsize=MB, f_files=10**6, f_favail=10**6)
    monkeypatch.setattr(os, "statvfs", lambda path: left)
    assert watch_over(tmp_path, 10**12).look() == f"the disk of {tmp_path} is full: 105 MB left"
    left.f_bavail, left.f_favail = 10**6, 9_999
    assert watch_over(tmp_path, 10**12).look() == (
        f"the disk of {tmp_path} is full: room for 9,999 more files"
    )
    left.f_files = 0
    assert watch_over(tmp_path, 10**12).look() == ""


def test_one_file_may_not_take_the_last_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobSpec((), tmp_path / "log", (Mount(tmp_path, "/job", writable=True),))
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=300, f_frsize=MB))
    assert disk_limit.largest_file(job) == 44 * MB
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=3, f_frsize=MB))
    assert disk_limit.largest_file(job) == MB


def test_a_job_that_takes_its_folder_away_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_limit, "LOOK_S", 0.01)
    (tmp_path / "job").mkdir()
    job = JobSpec((), tmp_path / "log", (Mount(tmp_path / "job", "/job", writable=True),))
    ended = threading.Event()
    with disk_limit.watched(job, ended.set) as watch:
        (tmp_path / "job").rmdir()
        assert ended.wait(10)
    assert watch.reason == f"{tmp_path / 'job'}: No such file or directory"


def test_empty_files_without_end_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_limit, "MOST_FILES", 50)
    for number in range(50):
        (tmp_path / str(number)).touch()
    assert watch_over(tmp_path, 10**12).look() == ""
    (tmp_path / "one more").mkdir()
    assert watch_over(tmp_path, 10**12).look() == "the job created more than 50 files"


def test_names_links_and_holes_are_not_what_counts(tmp_path: Path) -> None:
    """A hard link is no second file, a sparse file takes no room, a link leads nowhere."""
    (tmp_path / "file").write_bytes(os.urandom(MB))
    for number in range(10):
        (tmp_path / f"link-{number}").hardlink_to(tmp_path / "file")
    (tmp_path / "root").symlink_to("/")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    assert watch_over(tmp_path, 2 * MB).look() == ""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(os.urandom(2 * MB))
    assert watch_over(tmp_path, 2 * MB).look() == "the job wrote more than 2 MB"
