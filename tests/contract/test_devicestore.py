"""What the store on a device promises: over each transport, and with a phone's tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest
from transport_servers.phone import Phone
from transport_servers.sshd import Sshd

from harness.errors import StepFailed
from harness.ondevice import store
from harness.records import DeviceSpec
from harness.transports import Completed, OnLine, Transfer, Transport, connect
from harness.transports.local import LocalTransport

MB = 1 << 20
TOOLS = "sh cat mkdir rm mv find sort xargs df tail sync tar gzip cksum wc chmod".split()


class Tools(LocalTransport):
    """This machine with only the tools of a folder; counts its commands."""

    def __init__(self, tools: Path | None = None) -> None:
        super().__init__("phone")
        self.tools, self.commands = tools, 0

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        self.commands += 1
        limited = ("/usr/bin/env", f"PATH={self.tools}", *argv) if self.tools else tuple(argv)
        return super().run(limited, timeout_s=timeout_s, on_line=on_line)


class Damaging(Tools):
    """The last byte of what is pushed is another one."""

    def push(self, local: Path, remote: PurePosixPath) -> Transfer:
        done = super().push(local, remote)
        data = bytearray(Path(remote).read_bytes())
        data[-1] ^= 1
        Path(remote).write_bytes(data)
        return done


class Breaking(Tools):
    """Lost during a push: half of a file is there."""

    def push(self, local: Path, remote: PurePosixPath) -> Transfer:
        Path(remote).parent.mkdir(parents=True)
        Path(remote).write_bytes(local.read_bytes()[:10])
        raise ConnectionError


def links(folder: Path, program: str, names: Sequence[str]) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(program)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(
    params=[
        "local",
        pytest.param("ssh", marks=pytest.mark.servers),
        pytest.param("adb", marks=pytest.mark.servers),
        pytest.param("busybox", marks=pytest.mark.servers),
        pytest.param("toybox", marks=pytest.mark.servers),
    ]
)
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    name = request.param
    if name in ("ssh", "adb"):
        folder = tmp_path / name
        folder.mkdir()
        server = Sshd(folder) if name == "ssh" else Phone(folder)
        transport = connect(DeviceSpec("dev", "linux", server.transport, server.address))
        yield transport
        transport.close()
        server.stop()
        return
    yield Tools(phone_tools(name, tmp_path / "tools") if name != "local" else None)


def phone_tools(name: str, folder: Path) -> Path:
    program = shutil.which(name)
    assert program, f"{name} is not installed: scripts/system-packages servers"
    names = [tool for tool in (*TOOLS, "sha256sum") if tool != "sh"]
    links(folder, program, names)
    (folder / "sh").symlink_to("/bin/mksh-static" if name == "toybox" else program)
    if name == "toybox":  # phones' toybox has it, Debian's has not
        (folder / "gzip").unlink()
        (folder / "gzip").symlink_to("/bin/gzip")
    return folder


@pytest.fixture
def workdir(tmp_path: Path) -> PurePosixPath:
    return PurePosixPath(tmp_path / "a phone" / "bench")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with odd names, one of them a program."""
    made = tmp_path / "data set"
    (made / "sub ü").mkdir(parents=True)
    (made / "B.txt").write_text("b")
    (made / "a b's.bin").write_bytes(os.urandom(300_000))
    (made / "sub ü" / "-n").write_text("x" * 1000)
    (made / "sub ü" / "run").write_text("#!/bin/sh\n")
    (made / "sub ü" / "run").chmod(0o755)
    return made


def archive_of(folder: Path, target: Path) -> Path:
    subprocess.run(["tar", "czf", target, "-C", folder, "."], check=True)
    return target


def test_a_folder_arrives_whole_and_is_not_sent_twice(
    transport: Transport, workdir: PurePosixPath, folder: Path
) -> None:
    path = store.put(transport, workdir, folder, "k1", 100 * MB)
    assert path == workdir / "store" / "k1" / "data set"
    for file in (p for p in folder.rglob("*") if p.is_file()):
        there = Path(path) / file.relative_to(folder)
        assert there.read_bytes() == file.read_bytes()
        assert there.stat().st_mode == file.stat().st_mode
    before = (Path(path) / "B.txt").stat()
    shutil.rmtree(folder)  # nothing is read, so nothing is sent
    assert store.put(transport, workdir, folder, "k1", 100 * MB) == path
    assert (Path(path) / "B.txt").stat() == before


def test_an_archive_is_unpacked_there(
    transport: Transport, workdir: PurePosixPath, folder: Path
) -> None:
    packed = archive_of(folder, folder.parent / "it.tar.gz")
    placed = store.put_archive(transport, workdir, packed, "k2", MB, 100 * MB)
    assert placed.fresh
    assert (Path(placed.path) / "sub ü" / "-n").read_text() == "x" * 1000
    assert os.access(Path(placed.path) / "sub ü" / "run", os.X_OK)
    assert not (Path(placed.path).parent / "it.tar.gz").exists()
    again = store.put_archive(transport, workdir, packed, "k2", MB, 100 * MB)
    assert again == store.Stored(placed.path, False)


def test_the_entry_that_was_not_used_longest_makes_room(
    transport: Transport, workdir: PurePosixPath, tmp_path: Path
) -> None:
    for key in ("a", "b", "c"):
        (tmp_path / key).write_bytes(os.urandom(MB))
        store.put(transport, workdir, tmp_path / key, key, 100 * MB)
    store._IN_USE.pop(transport)  # another run, over a new connection
    assert store.there(transport, workdir, ("a", "x")) == {"a"}
    (tmp_path / "d").write_bytes(os.urandom(MB))
    store.put(transport, workdir, tmp_path / "d", "d", 3 * MB + 4096)
    left = {path.name for path in Path(workdir / "store").iterdir() if path.is_dir()}
    assert left == {"a", "c", "d"}


def test_asking_for_many_is_one_round_trip(workdir: PurePosixPath, tmp_path: Path) -> None:
    transport = Tools()
    for key in ("a", "b"):
        (tmp_path / key).write_text(key)
        store.put(transport, workdir, tmp_path / key, key, MB)
    transport.commands = 0
    assert store.there(transport, workdir, [*"abcdef"]) == {"a", "b"}
    assert transport.commands == 1


def test_what_the_run_uses_is_never_removed(workdir: PurePosixPath, tmp_path: Path) -> None:
    transport = Tools()
    for key in ("a", "b"):
        (tmp_path / key).write_bytes(os.urandom(MB))
    store.put(transport, workdir, tmp_path / "a", "a", MB + 4096)
    with pytest.raises(StepFailed) as caught:
        store.put(transport, workdir, tmp_path / "b", "b", MB + 4096)
    assert caught.value.message == (
        "phone: not enough space for b: 1 MB required, 1 MB of the quota of 1 MB used by this run"
    )
    assert store.there(transport, workdir, ["a", "b"]) == {"a"}


def test_damage_on_the_way_is_seen_and_does_not_count(
    workdir: PurePosixPath, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("content")
    with pytest.raises(StepFailed) as caught:
        store.put(Damaging(), workdir, tmp_path / "a", "a", MB)
    assert caught.value.message == "phone: a was damaged in transfer (sha256 mismatch)"
    assert store.there(Tools(), workdir, ["a"]) == set()
    assert list(Path(workdir / "store").glob(".part*")) == []


def test_an_interrupted_push_counts_for_nothing_and_is_swept(
    workdir: PurePosixPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("content of the file")
    with pytest.raises(ConnectionError):
        store.put(Breaking(), workdir, tmp_path / "a", "a", MB)
    assert list(Path(workdir / "store").glob(".part*"))
    transport = Tools()
    assert store.there(transport, workdir, ["a"]) == set()
    monkeypatch.setattr(store, "_PROCESS", "another")
    path = store.put(transport, workdir, tmp_path / "a", "a", MB)
    assert Path(path).read_text() == "content of the file"
    assert list(Path(workdir / "store").glob(".part*")) == []


@pytest.mark.parametrize("damaged", [False, True])
def test_without_sha256sum_cksum_has_to_do_and_is_named(
    damaged: bool, workdir: PurePosixPath, tmp_path: Path, folder: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    said: list[str] = []
    transport = Damaging(tools) if damaged else Tools(tools)
    if damaged:
        with pytest.raises(StepFailed, match=r"damaged in transfer \(cksum mismatch\)"):
            store.put(transport, workdir, folder / "B.txt", "k", MB, said.append)
    else:
        store.put(transport, workdir, folder, "k", MB, said.append)
        assert said[-1] == ("phone has no sha256sum: verifying data set with cksum (CRC-32) only")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_says_what_is_needed_and_free(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk], check=True)
    try:
        transport, workdir = Tools(), PurePosixPath(disk / "bench")
        (tmp_path / "small").write_bytes(os.urandom(6 * MB))
        (tmp_path / "big").write_bytes(os.urandom(11 * MB))
        store.put(transport, workdir, tmp_path / "small", "small", 100 * MB)
        with pytest.raises(StepFailed) as caught:
            store.put(transport, workdir, tmp_path / "big", "big", 100 * MB)
        assert caught.value.message.startswith(
            "phone: not enough space for big: 20 MB required, 15 MB free in "
        )
        store._IN_USE.pop(transport)  # another run: now the small one may go
        store.put(transport, workdir, tmp_path / "big", "big", 100 * MB)
        assert store.there(transport, workdir, ["small", "big"]) == {"big"}
    finally:
        subprocess.run(["umount", disk], check=True)
