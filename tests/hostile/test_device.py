"""A device that lies: in what it sends, in what it says it sends, and in how long it takes."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from harness.containers import JobSpec, Mount
from harness.errors import DeviceLost, JobTimeout, StepFailed
from harness.records import DeviceSpec, Image
from harness.runtimes import InstalledRuntime
from harness.targets.remote import DeviceRunner
from harness.transports import Completed, OnLine, Transfer
from harness.transports.channel import CommandOutput, Exited
from harness.transports.local import LocalTransport
from harness.transports.pull import pull
from harness.untrusted.budget import USUAL, Budget, Leaf

from .conftest import Host, one_line

#: what a shell says before the script's own output, to the mark that it was given
Events = Callable[[bytes], Iterable[CommandOutput | Exited | None]]


class Lying:
    """A connection whose device answers every command with these events."""

    name, ends_input, splits_output, longest_command = "phone", True, True, 1 << 17

    def __init__(self, events: Iterable[CommandOutput | Exited | None]) -> None:
        self._events = iter(events)
        self.closed = False

    def open(self, command: str, *, urgent: bool = False) -> Any:
        mark = command.split("bench-")[1][:16]
        marked = f"\nbench-{mark}\n".encode()
        self._events = chain([CommandOutput(marked), CommandOutput(marked, True)], self._events)
        return self

    def send(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        return next(self._events, Exited(0))

    def close(self) -> None:
        self.closed = True


def sent(data: bytes, code: int = 0) -> Iterator[CommandOutput | Exited | None]:
    for at in range(0, len(data), 1000):
        yield CommandOutput(data[at : at + 1000])
    yield Exited(code)


def folder(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    """What a device sends of a folder."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return b"D\n" + file.getvalue()


def member(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def get(host: Host, events: Iterable[Any], budget: Budget = USUAL) -> Transfer:
    connection: Any = Lying(events)
    return pull(connection, PurePosixPath("/data/out"), host.run / "out", budget)


def test_a_file_may_come_in_one_piece_of_any_size(host: Host) -> None:
    data = b"x" * 300_000 + b"\n"
    for size in (len(data) + 6, 65_537, 1):
        pieces = b"F 644\n" + data
        events = [CommandOutput(pieces[n : n + size]) for n in range(0, len(pieces), size)]
        assert get(host, [*events, Exited(0)]).sent_bytes == len(data)
        assert (host.run / "out").read_bytes() == data


def test_an_error_may_come_in_pieces_and_without_an_end(host: Host) -> None:
    for pieces in ([b"disk on", b" fire\n"], [b"disk on fire"], [b"disk ", b"on fire"]):
        events = [*(CommandOutput(piece) for piece in pieces), Exited(1)]
        with pytest.raises(StepFailed, match=": disk on fire$"):
            get(host, events)


LINK, HARD, PIPE, DEVICE, FOLDER = (
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE
)  # fmt: skip
TAKEN = "only regular files are taken over"
#: members of an archive, and what is said of the first that is refused
ARCHIVES: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    f"x: is a symbolic link; {TAKEN}": [member("x", type=LINK, linkname="/etc/passwd")],
    f"./x: is a symbolic link; {TAKEN}": [
        member("./x", type=LINK, linkname=".."),
        member("./x/.profile", b"evil"),
    ],
    f"b: is a hard link to another file; {TAKEN}": [
        member("a", b"1"),
        member("b", type=HARD, linkname="a"),
    ],
    f"pipe: is a pipe; {TAKEN}": [member("pipe", type=PIPE)],
    f"null: is a device; {TAKEN}": [member("null", type=DEVICE, devmajor=1, devminor=3)],
    f"s: is a program that runs as another user (setuid); {TAKEN}": [member("s", b"", mode=0o4755)],
    f"odd: is of an unknown type; {TAKEN}": [member("odd", type=b"Z")],
    f"holes: is a sparse file; {TAKEN}": [member("holes", type=tarfile.GNUTYPE_SPARSE)],
    "../.profile: leads out of the folder": [member("../.profile", b"evil")],
    "a/../../.profile: leads out of the folder": [member("a/../../.profile", b"evil")],
    "/tmp/evil: leads out of the folder": [member("/tmp/evil", b"evil")],
    "a: duplicate entry": [member("a", b"1"), member("a", b"2")],
    "a/b: duplicate entry": [member("a", b"1"), member("a/b", b"2")],
    "a: duplicate entry ": [member("a/b", b"1"), member("a", b"2")],
    "d/" * 32 + "d…: more than 32 folders deep": [member("d/" * 40 + "x", b"")],
}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("message", ARCHIVES)
def test_an_archive_with_anything_but_files_in_its_folder_is_refused(
    host: Host, message: str, format: int
) -> None:
    with pytest.raises(StepFailed) as caught:
        get(host, sent(folder(*ARCHIVES[message], format=format)))
    said = one_line(caught.value).removeprefix(f"pull phone:/data/out to {host.run / 'out'}: ")
    if "…" in message:
        assert said.endswith("more than 32 folders deep")
    else:
        assert said == message.strip()
    assert list(host.run.iterdir()) == []


def test_a_link_through_links_that_tarfile_s_filter_takes_for_harmless_leads_nowhere(
    host: Host,
) -> None:
    """The path is too long for `realpath` to follow, so that it looked as if it stayed inside."""
    name, path = "d" * 247, ""
    members = []
    for letter in "abcdefghijklmnop":
        members.append(member(path + name, type=FOLDER, mode=0o755))
        members.append(member(path + letter, type=LINK, linkname=name))
        path += f"{letter}/"
    up = path + "l" * 254
    members.append(member(up, type=LINK, linkname="../" * 16))
    members.append(member("escape", type=LINK, linkname=f"{up}/../.."))
    members.append(member("escape/home/.profile", b"evil"))
    with pytest.raises(StepFailed, match=": a: is a symbolic link; only regular files are taken"):
        get(host, sent(folder(*members)))
    assert list(host.run.iterdir()) == []


def test_folders_and_files_of_every_kind_of_tar_arrive(host: Host) -> None:
    deep = "folder " + "x" * 120 + "/" + "y" * 150
    odd = "two\nlines \udcff ü"
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = folder(
            member("./", type=FOLDER, mode=0o777),
            member(f"./{deep}", b"1" * 70_000),
            member(f"./{odd}", b"2", mode=0o7077 & 0o777),
            member("./empty", type=FOLDER, mode=0),
            member("./program", b"3", mode=0o755),
            format=format,
        )
        done = get(host, sent(data))
        there = host.run / "out"
        assert (done.files, done.sent_bytes) == (3, 70_002)
        assert (there / deep).read_bytes() == b"1" * 70_000
        assert (there / odd).read_bytes() == b"2"
        assert (there / odd).stat().st_mode & 0o7777 == 0o655
        assert (there / "empty").stat().st_mode & 0o7777 == 0o755
        assert (there / "program").stat().st_mode & 0o7777 == 0o755


CUT = folder(member("a", b"x" * 5000))
BROKEN: dict[str, bytes] = {
    "truncated": CUT[:3000],
    "truncated ": CUT[:5900],
    "wrong checksum in a header": CUT[:10] + b"\x01" + CUT[11:],
    "invalid header": b"D\n" + b"\xff" * 512,
    "more than 1,048,576 bytes follow the archive's end": CUT + bytes(3 << 20),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_archive_that_is_none_is_refused(host: Host, message: str) -> None:
    with pytest.raises(StepFailed) as caught:
        get(host, sent(BROKEN[message]))
    assert one_line(caught.value).endswith(f": damaged archive from the device: {message.strip()}")
    assert list(host.run.iterdir()) == []


def test_a_header_that_says_it_has_a_gigabyte_is_not_kept_in_memory(host: Host) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    data = chain(sent_forever(b"D\n" + info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(StepFailed, match=r"device: header of 1,073,741,824 bytes$"):
        get(host, data)


def sent_forever(begin: bytes, then: bytes = bytes(1 << 16)) -> Iterator[CommandOutput]:
    yield CommandOutput(begin)
    yield from repeat(CommandOutput(then))


SMALL = Budget(1 << 20, files=10)


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (b"F 644\n", r": out: exceeds the limit of 1,048,576 bytes$"),
        (
            folder(member("a"))[:514].replace(b"00000000000", b"77777777777"),
            "wrong checksum in a header",
        ),
        (b"no file, ", ": the device sent no file$"),
    ],
)
def test_a_device_that_sends_without_end_is_cut_off(host: Host, begin: bytes, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(StepFailed, match=message):
        get(host, sent_forever(begin, b"x" * (1 << 16)), SMALL)
    assert time.monotonic() - began < 5
    assert list(host.run.iterdir()) == []


def test_a_file_that_says_it_is_huge_is_refused_before_it_is_written(host: Host) -> None:
    info = tarfile.TarInfo("a")
    info.size = 1 << 40
    with pytest.raises(StepFailed, match=": a: exceeds the limit of 1,048,576 bytes"):
        get(host, sent_forever(b"D\n" + info.tobuf(tarfile.GNU_FORMAT)), SMALL)


def test_more_files_than_were_asked_for_are_refused(host: Host) -> None:
    data = folder(*(member(f"{n}") for n in range(50)))
    with pytest.raises(StepFailed, match=": 10: exceeds the limit of 10 files$"):
        get(host, sent(data), SMALL)
    assert list(host.run.iterdir()) == []


def test_a_byte_now_and_then_does_not_start_the_deadline_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.untrusted.budget.PATIENCE_S", 0.5)

    def dripping() -> Iterator[CommandOutput]:
        yield CommandOutput(b"F 644\n")
        while True:
            time.sleep(0.05)
            yield CommandOutput(b"x")

    began = time.monotonic()
    with pytest.raises(JobTimeout, match=r"^pull phone:/data/out to .*: took longer than 1 s$"):
        get(host, dripping(), SMALL)
    assert time.monotonic() - began < 3
    assert list(host.run.iterdir()) == []


def test_a_device_that_is_silent_is_lost(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.transports.pull.STALL_S", 0.01)
    with pytest.raises(DeviceLost, match=r"during a pull: no answer for 0\.01 s$"):
        get(host, [CommandOutput(b"D\n"), None])


def test_endless_errors_are_not_kept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.untrusted.budget.PATIENCE_S", 0.5)
    with pytest.raises(JobTimeout):
        get(host, repeat(CommandOutput(b"error\n" * 10_000, is_error=True)), SMALL)


def test_modes_are_harmless(host: Host) -> None:
    get(host, sent(b"F 777\nx"))
    assert (host.run / "out").stat().st_mode & 0o7777 == 0o755


# ---- jobs on a device --------------------------------------------------------------------------


class Device(LocalTransport):
    """A folder as the device; when a job has ended there, `attack` is done to its folder."""

    def __init__(self, attack: Callable[[Path], None]) -> None:
        super().__init__("phone")
        self._attack = attack

    def run(self, argv: Any, *, timeout_s: float, on_line: OnLine | None = None) -> Completed:
        if argv[0] != "job":
            return super().run(argv, timeout_s=timeout_s, on_line=on_line)
        self._attack(Path(argv[1]))
        return Completed(0, b"fine\n", b"", 0.1)


class Ready:
    """A runtime that needs nothing."""

    image = Image("onnx", "bundle", "onnx", "sha256:aa", True, 0.0)

    def seen(self, there: Any) -> str:
        return str(there.path)

    def command(self, argv: Any, mounts: Any, env: Any, cpus: Any, memory: int) -> tuple[str, ...]:
        return ("job", str(mounts[0].path))


LEAVES = (Leaf("result.json", Budget(1000)), Leaf("tree", Budget(10**6, files=10), required=False))


def on_device(host: Host, attack: Callable[[Path], None]) -> Path:
    own = host.run / "job"
    own.mkdir()
    ready: InstalledRuntime = Ready()
    workdir = host.run.parent / "device"
    runner = DeviceRunner(Device(attack), DeviceSpec("phone", "linux", "ssh"), str(workdir), ready)
    job = JobSpec(("-m", "x"), host.run / "log.txt", (Mount(own, "/job", True),), leaves=LEAVES)
    runner.run(ready.image, job)
    return own


def test_only_what_is_wanted_of_a_job_s_folder_comes_back(host: Host) -> None:
    def rubbish(folder: Path) -> None:
        (folder / "result.json").write_text("{}")
        (folder / "tree").mkdir()
        (folder / "tree" / "a").write_text("a")
        (folder / "log.txt").symlink_to(host.startup)
        (folder / "trial.json").symlink_to(host.startup)
        os.mkfifo(folder / "pipe")

    own = on_device(host, rubbish)
    assert sorted(str(path.relative_to(own)) for path in own.rglob("*")) == [
        *("result.json", "tree", "tree/a")
    ]
    assert (host.run / "log.txt").read_text() == "fine\n"


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (lambda f, h: (f / "result.json").symlink_to(h.private), "result.json: is a symbolic link"),
        (
            lambda f, h: (f / "result.json").write_text("x" * 2000),
            "exceeds the limit of 1,000 bytes",
        ),
        (lambda f, h: os.mkfifo(f / "result.json"), "result.json: is a pipe"),
        (lambda f, h: (f / "result.json").mkdir(), "result.json: is a folder"),
        (lambda f, h: (f / "tree").symlink_to(h.private.parent), "tree: is a symbolic link"),
        (
            lambda f, h: ((f / "tree").mkdir(), (f / "tree" / "a").symlink_to(h.private)),
            "a: is a symbolic link",
        ),
    ],
)
def test_what_a_device_leaves_in_the_place_of_a_file_is_refused(
    host: Host, attack: Callable[[Path, Host], object], message: str
) -> None:
    def left(folder: Path) -> None:
        attack(folder, host)

    with pytest.raises(StepFailed) as caught:
        on_device(host, left)
    assert message in one_line(caught.value)
    assert list((host.run / "job").iterdir()) == []
