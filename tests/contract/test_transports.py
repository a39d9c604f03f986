"""What every transport promises, over all of them, against real servers on this machine."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest
from transport_servers import Device, processes, wait_for
from transport_servers.phone import Phone, PhoneOnServer
from transport_servers.sshd import Sshd

from harness.errors import DeviceLost, JobTimeout, StepFailed
from harness.records import DeviceSpec
from harness.transports import Transport, adb_messages, channel, connect, execute
from harness.untrusted.budget import Budget

SERVED = ("ssh", "adb", "adb-plain", "adb-server")
ALL = ("local", *SERVED)
MB = 1 << 20
WORDS = ["a b", "it's", "$HOME", "*", "", "ü", "a;b", 'q"q', "two\nlines", "-n", "\\", "`id`", "🙂"]
served_only = pytest.mark.parametrize("device", SERVED, indirect=True)


class Here:
    """This machine, which cannot be lost."""

    transport, address = "local", ""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Device]]:
    started: dict[str, Device] = {}
    try:
        yield _Started(started, tmp_path_factory)
    finally:
        for device in started.values():
            end = getattr(device, "end", None) or getattr(device, "stop", None)
            if end:
                end()


class _Started(dict[str, Device]):
    """Servers that start when they are first asked for, and stay for the module."""

    def __init__(self, started: dict[str, Device], folders: pytest.TempPathFactory) -> None:
        super().__init__()
        self._started, self._folders = started, folders

    def __missing__(self, name: str) -> Device:
        if name not in self._started:
            self._started[name] = self._make(name)
        return self._started[name]

    def _make(self, name: str) -> Device:
        folder = self._folders.mktemp(name)
        if name == "ssh":
            return Sshd(folder)
        if name == "adb":
            return Phone(folder)
        if name == "adb-plain":
            return Phone(folder, features="cmd")
        return PhoneOnServer(folder) if name == "adb-server" else Here()  # type: ignore[return-value]


@pytest.fixture(params=ALL)
def device(request: pytest.FixtureRequest, devices: dict[str, Device]) -> Device:
    return devices[request.param]


@pytest.fixture
def transport(device: Device) -> Iterator[Transport]:
    made = connect(DeviceSpec("dut", "linux", device.transport, device.address))
    yield made
    made.close()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The folder on the device; the devices share our files."""
    (tmp_path / "device").mkdir()
    return tmp_path / "device"


def python(transport: Transport, code: str, *argv: str, timeout_s: float = 30) -> bytes:
    done = transport.run([sys.executable, "-S", "-c", code, *argv], timeout_s=timeout_s)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def remote(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


def is_plain(transport: Transport) -> bool:
    return not getattr(getattr(transport, "_connection", None), "splits_output", True)


def running(text: str) -> list[str]:
    return [line for pid, _, line in processes() if text in line and pid != os.getpid()]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if ".part" in path.name]


# ---- run ---------------------------------------------------------------------------------------


def test_arguments_arrive_unchanged(transport: Transport) -> None:
    assert eval(python(transport, "import sys; print(sys.argv[1:])", *WORDS)) == WORDS


def test_arguments_that_are_no_utf8_arrive_unchanged(transport: Transport) -> None:
    command = ["sh", "-c", 'printf %s "$1"', "sh", "\udcff\udc80ü"]
    assert transport.run(command, timeout_s=30).stdout == b"\xff\x80\xc3\xbc"


@pytest.mark.parametrize("argument", ["a\0b", "\ud800"])
def test_an_argument_that_no_command_line_can_have_is_refused(
    transport: Transport, argument: str
) -> None:
    with pytest.raises(StepFailed) as caught:
        transport.run(["echo", argument], timeout_s=30)
    assert caught.value.message == f"dut: invalid argument {argument!r} for a command line"


def test_a_long_command_line_arrives_whole(transport: Transport) -> None:
    words = ["x!" * 500] * 15
    done = transport.run(["printf", "%s", *words], timeout_s=30)
    assert (done.exit_code, done.stdout) == (0, "".join(words).encode())


@served_only
def test_a_command_line_that_is_too_long_is_refused(transport: Transport) -> None:
    with pytest.raises(
        StepFailed, match="^dut: the command has 1[0-9]{2},[0-9]{3} bytes"
    ) as caught:
        transport.run(["echo", "x" * 140_000], timeout_s=30)
    assert caught.value.hint == "Write the arguments to a file and push that."
    assert transport.run(["echo", "ok"], timeout_s=30).stdout == b"ok\n"


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_exit_codes_are_returned(transport: Transport, code: int) -> None:
    assert transport.run(["sh", "-c", f"exit {code}"], timeout_s=30).exit_code == code


def test_a_command_that_closes_its_outputs_may_go_on(transport: Transport) -> None:
    command = ["sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 3"]
    assert transport.run(command, timeout_s=30).exit_code == 3


def test_a_command_that_is_not_there_exits_127(transport: Transport) -> None:
    assert transport.run(["no-such-command"], timeout_s=30).exit_code == 127


def test_a_killed_command_exits_with_128_and_the_signal(transport: Transport) -> None:
    assert transport.run(["sh", "-c", "kill -9 $$"], timeout_s=30).exit_code == 137


def test_binary_output_arrives_unchanged(transport: Transport) -> None:
    code = "import os\nfor i in range(80): os.write(1, bytes(range(256)) * 100)"
    assert python(transport, code) == bytes(range(256)) * 8000


def test_output_and_errors_are_kept_apart_where_the_device_can(transport: Transport) -> None:
    lines: list[str] = []
    command = ["sh", "-c", "echo out; echo err >&2"]
    done = transport.run(command, timeout_s=30, on_line=lines.append)
    assert sorted(lines) == ["err", "out"]
    expected = (b"out\nerr\n", b"") if is_plain(transport) else (b"out\n", b"err\n")
    assert (done.stdout, done.stderr) == expected
    assert done.text.startswith("out\n")


def test_lines_are_told_when_they_are_there(transport: Transport) -> None:
    told: list[tuple[str, float]] = []
    command = ["sh", "-c", "echo first; sleep 1; printf last"]
    transport.run(command, timeout_s=30, on_line=lambda line: told.append((line, time.monotonic())))
    (first, at_first), (last, at_last) = told
    assert (first, last) == ("first", "last")
    assert at_last - at_first > 0.7


def test_a_command_has_no_input(transport: Transport) -> None:
    assert transport.run(["cat"], timeout_s=30).stdout == b""


@pytest.mark.parametrize("command", ["sleep {}", "sleep {} & sleep {}", "trap '' TERM; sleep {}"])
def test_a_deadline_ends_everything_that_was_started(transport: Transport, command: str) -> None:
    mark = f"7{time.time_ns() % 10**8}"
    began = time.monotonic()
    with pytest.raises(JobTimeout) as caught:
        transport.run(["sh", "-c", command.format(mark, mark)], timeout_s=1.5)
    assert 1.4 < time.monotonic() - began < 6
    assert caught.value.message == "sh on dut exceeded its deadline of 1.5 s and was killed"
    wait_for(lambda: not running(mark), 3)


def test_what_a_command_leaves_behind_is_ended(transport: Transport) -> None:
    mark = f"7{time.time_ns() % 10**8}"
    began = time.monotonic()
    assert transport.run(["sh", "-c", f"sleep {mark} & echo"], timeout_s=30).exit_code == 0
    assert time.monotonic() - began < 10
    wait_for(lambda: not running(mark), 3)


def test_fifty_calls_at_once(transport: Transport, tmp_path: Path, there: Path) -> None:
    def call(number: int) -> str:
        if number % 10 == 0:
            path = tmp_path / f"{number}.txt"
            path.write_text(str(number))
            transport.push(path, remote(there / path.name))
            transport.pull(remote(there / path.name), tmp_path / f"{number}.back")
            return (tmp_path / f"{number}.back").read_text()
        return transport.run(["sh", "-c", f"sleep 0.05; echo {number}"], timeout_s=60).text.strip()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(call, range(50))) == [str(number) for number in range(50)]


# ---- push and pull -----------------------------------------------------------------------------


@pytest.mark.parametrize("megabytes", [0, 20, pytest.param(100, marks=pytest.mark.slow)])
def test_big_files_go_both_ways(
    transport: Transport, tmp_path: Path, there: Path, megabytes: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(megabytes * MB + 17))
    pushed = transport.push(source, remote(there / "big"))
    pulled = transport.pull(remote(there / "big"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert pushed.sent_bytes == pulled.sent_bytes == megabytes * MB + 17


NAMES = [
    *("a b", "it's", "$HOME", "*", "ü", "日本", 'q"q', "a;b", "-rf", "two\nlines", "x" * 200),
    *("!1", "a\\b", "no utf-8 \udcff", "tab\t", " ", "~", "%n"),
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names(transport: Transport, tmp_path: Path, there: Path, name: str) -> None:
    source = tmp_path / name
    source.write_bytes(b"x" * 300_000)
    target = there / f"new {name[:100]}" / name
    transport.push(source, remote(target))
    assert target.read_bytes() == source.read_bytes()
    transport.push(source, remote(target))
    transport.pull(remote(target), tmp_path / "back" / name)
    assert (tmp_path / "back" / name).read_bytes() == source.read_bytes()


LINKS = {
    "link": "sub dir/ü",
    "link to folder": "sub dir",
    "link to nothing": "no/such file",
    "link to no utf-8": "\udcff",
}


def make_tree(folder: Path) -> Path:
    for name in NAMES:
        (folder / "sub dir" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sub dir" / name).write_bytes(b"content of " + os.fsencode(name))
    (folder / "empty").mkdir()
    for name, target in LINKS.items():
        (folder / name).symlink_to(target)
    (folder / "program").write_text("#!/bin/sh\necho works")
    (folder / "program").chmod(0o755)
    return folder


def same(one: Path, other: Path) -> bool:
    command = ["diff", "-r", "--no-dereference", str(one), str(other)]
    return subprocess.run(command, check=False).returncode == 0


def test_folders_go_both_ways(transport: Transport, tmp_path: Path, there: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    transport.push(tree, remote(there / "to" / "tree"))
    assert same(tree, there / "to" / "tree")
    for folder, name in itertools.product((tree, there / "to" / "tree"), LINKS):
        (folder / name).unlink()
    transport.pull(remote(there / "to" / "tree"), tmp_path / "back")
    assert same(tree, tmp_path / "back")
    run = transport.run([str(there / "to" / "tree" / "program")], timeout_s=30)
    assert run.stdout == b"works\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "mine"])
def test_a_link_is_pushed_and_not_pulled(
    transport: Transport, tmp_path: Path, there: Path, target: str
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "mine").write_text("mine")
    (tmp_path / "tree" / "out").symlink_to(target)
    transport.push(tmp_path / "tree", remote(there / "tree"))
    assert os.readlink(there / "tree" / "out") == target  # noqa: PTH115
    with pytest.raises(StepFailed, match="out: is a symbolic link; only regular files are taken"):
        transport.pull(remote(there / "tree"), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_pull_is_cut_off_at_its_budget(transport: Transport, tmp_path: Path, there: Path) -> None:
    (there / "tree").mkdir()
    for name in ("one", "two"):
        (there / "tree" / name).write_bytes(bytes(600_000))
    for source, budget, most in (
        ("tree/one", Budget(500_000), "500,000 bytes"),
        ("tree", Budget(1_000_000, files=5), "1,000,000 bytes"),
        ("tree", Budget(10**9, files=2), "2 files"),
    ):
        with pytest.raises(StepFailed, match=f"exceeds the limit of {most}$"):
            transport.pull(remote(there / source), tmp_path / "back", budget)
    with pytest.raises(StepFailed, match="tree: is a folder; only regular files are taken over$"):
        transport.pull(remote(there / "tree"), tmp_path / "back", Budget(10**9))
    transport.pull(remote(there / "tree"), tmp_path / "back", Budget(1_200_000, files=3))
    assert (tmp_path / "back" / "two").stat().st_size == 600_000


def test_a_pushed_folder_leaves_other_files_alone(
    transport: Transport, tmp_path: Path, there: Path
) -> None:
    tree = make_tree(tmp_path / "tree")
    (there / "sub dir").mkdir()
    (there / "sub dir" / "mine").write_text("stays")
    (there / "program").write_text("old")
    transport.push(tree, remote(there))
    assert (there / "sub dir" / "mine").read_text() == "stays"
    assert (there / "program").read_text() == (tree / "program").read_text()


@served_only
def test_what_is_there_is_not_sent_again(transport: Transport, tmp_path: Path, there: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    assert transport.push(tree, remote(there / "tree")).files == len(NAMES) + 5
    assert transport.push(tree, remote(there / "tree")).sent_bytes == 0
    (there / "tree" / "output").write_text("of a job")
    assert transport.push(tree, remote(there / "tree")).sent_bytes == 0
    (tree / "sub dir" / "ü").write_text("changed")
    (tree / "sub dir" / "a b").unlink()
    assert transport.push(tree, remote(there / "tree")).files == 1
    (there / "tree" / "output").unlink()
    assert same(tree, there / "tree")


@served_only
def test_what_was_touched_on_the_device_is_sent_again(
    transport: Transport, tmp_path: Path, there: Path
) -> None:
    tree, big = make_tree(tmp_path / "tree"), tmp_path / "big"
    big.write_bytes(os.urandom(MB))
    for source in (tree, big):
        transport.push(source, remote(there / source.name))
        assert transport.push(source, remote(there / source.name)).files == 0
    (there / "tree" / "program").write_text("spoilt")
    (there / "big").write_text("spoilt")
    for source in (tree, big):
        assert transport.push(source, remote(there / source.name)).files > 0
    assert same(tree, there / "tree")
    assert (there / "big").read_bytes() == big.read_bytes()


def test_no_such_file(transport: Transport, tmp_path: Path, there: Path) -> None:
    with pytest.raises(StepFailed, match="pull .*nowhere.*: no such file or folder$"):
        transport.pull(remote(there / "nowhere"), tmp_path / "back")
    with pytest.raises(StepFailed, match="push .*nowhere.*: no such file or folder$"):
        transport.push(tmp_path / "nowhere", remote(there / "x"))
    assert not (tmp_path / "back").exists()


def test_permission_denied(transport: Transport, tmp_path: Path) -> None:
    """In sysfs not even root may make a file."""
    tree = make_tree(tmp_path / "tree")
    for source in (tree, tree / "program"):
        with pytest.raises(StepFailed, match=": permission denied$"):
            transport.push(source, PurePosixPath("/sys/kernel/bench-test"))


@pytest.fixture
def small_disk(there: Path) -> Iterator[Path]:
    """4 MB, where we may mount; else a limit that the device's shell cannot get around."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "bench-test", str(there)]
    assert subprocess.run(command, check=False).returncode == 0, "needs root, to mount a tmpfs"
    yield there
    subprocess.run(["umount", str(there)], check=True)


def test_disk_full(transport: Transport, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(os.urandom(8 * MB))
    for source in (tmp_path / "tree" / "big", tmp_path / "tree"):
        with pytest.raises(StepFailed, match=": no space left$") as caught:
            transport.push(source, remote(small_disk / "x"))
        assert caught.value.hint.startswith("Free some space")
        assert list(small_disk.iterdir()) == []


def test_a_full_disk_here(transport: Transport, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(8 * MB))
    with pytest.raises(StepFailed, match=": no space left$|: exceeds the free space of "):
        transport.pull(remote(tmp_path / "big"), small_disk / "x")
    assert list(small_disk.iterdir()) == []


def test_a_file_does_not_replace_a_folder(
    transport: Transport, tmp_path: Path, there: Path
) -> None:
    tree = make_tree(tmp_path / "tree")
    (there / "x").mkdir()
    with pytest.raises(StepFailed, match="[Ii]s a (directory|folder)|cannot replace a folder"):
        transport.push(tree / "program", remote(there / "x"))
    assert leftovers(there) == []


# ---- faults ------------------------------------------------------------------------------------


@pytest.fixture
def big(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "big-source"
    path.write_bytes(os.urandom(MB) * 300)
    yield path
    path.unlink()


def drop_when_moving(device: Device, folder: Path) -> threading.Thread:
    def moving() -> bool:
        return any(p.stat().st_size > 2 * MB for p in folder.glob(".*.part"))

    def wait_and_drop() -> None:
        wait_for(moving, 20)
        device.drop()

    thread = threading.Thread(target=wait_and_drop)
    thread.start()
    return thread


@served_only
def test_lost_in_the_middle_of_a_push(
    transport: Transport, device: Device, there: Path, big: Path
) -> None:
    dropping = drop_when_moving(device, there)
    with pytest.raises(DeviceLost, match="^dut: connection lost "):
        transport.push(big, remote(there / "big"))
    dropping.join()
    assert not (there / "big").exists()
    again(transport, device)
    wait_for(lambda: leftovers(there) == [], 10)


@served_only
def test_lost_in_the_middle_of_a_pull(
    transport: Transport, device: Device, there: Path, big: Path
) -> None:
    dropping = drop_when_moving(device, there)
    with pytest.raises(DeviceLost, match="^dut: connection lost "):
        transport.pull(remote(big), there / "back")
    dropping.join()
    assert list(there.iterdir()) == []
    again(transport, device)


@served_only
def test_lost_in_the_middle_of_a_run(transport: Transport, device: Device) -> None:
    with pytest.raises(DeviceLost, match="^dut: connection lost "):
        transport.run(
            ["sh", "-c", "echo now; sleep 8"], timeout_s=5, on_line=lambda line: device.drop()
        )
    again(transport, device)


@served_only
def test_a_device_that_is_gone_is_lost_until_it_is_back(
    transport: Transport, device: Device
) -> None:
    device.stop()
    for _ in range(2):
        with pytest.raises(DeviceLost):
            transport.run(["true"], timeout_s=5)
    device.start()
    again(transport, device)


def again(transport: Transport, device: Device) -> None:
    """The next call connects again by itself; an adb server does it in its own time."""
    until = time.monotonic() + 15
    while True:
        try:
            assert transport.run(["echo", "back"], timeout_s=10).stdout == b"back\n"
            return
        except DeviceLost:
            assert "server:" in device.address
            assert time.monotonic() < until
            time.sleep(0.3)


@pytest.mark.parametrize("device", ["ssh", "adb"], indirect=True)
def test_a_device_that_hangs_is_lost(
    transport: Transport, device: Sshd | Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((execute, "KILL_S"), (adb_messages, "ANSWER_S"), (channel, "STALL_S")):
        monkeypatch.setattr(module, name, 2.0)
    monkeypatch.setattr("harness.transports.ssh.STALL_S", 2.0)
    monkeypatch.setattr("harness.transports.adb_channel.STALL_S", 2.0)
    try:
        with pytest.raises(DeviceLost):
            transport.run(
                ["sh", "-c", "echo now; sleep 8"], timeout_s=2, on_line=lambda line: device.hang()
            )
    finally:
        device.wake()


@pytest.mark.parametrize("device", ["ssh", "adb"], indirect=True)
def test_a_command_ends_by_itself_when_nobody_is_connected(
    transport: Transport, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "GRACE_S", 0)
    mark = f"7{time.time_ns() % 10**8}"
    with pytest.raises(DeviceLost):
        transport.run(
            ["sh", "-c", f"echo now; sleep {mark}"], timeout_s=2, on_line=lambda _: device.drop()
        )
    assert running(mark)
    wait_for(lambda: not running(mark), 8)


def test_the_servers_programs_are_there() -> None:
    """Without them nothing above means anything."""
    assert [name for name in ("adb", "ssh", "scp", "ssh-keygen") if not shutil.which(name)] == []
    assert Path("/usr/sbin/sshd").exists()
