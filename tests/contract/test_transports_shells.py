"""Login shells, whatever they are and print: a real sshd gives this user each of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest
from transport_servers import processes, wait_for
from transport_servers.sshd import Sshd

from harness.errors import JobTimeout, StepFailed
from harness.records import DeviceSpec
from harness.transports import Transport, connect, execute

pytestmark = pytest.mark.servers
WORDS = ["it's", "a\nb\n", "!x", "\\0101 %s $HOME `id`", "ü\udcff", "", '"q"', "-n", "a  b", "~"]
#: what people's start files print, and where each shell has them
NOISE = {
    ".bashrc": "echo to stdout; echo to stderr >&2; printf 'no newline'; set -x\n",
    ".cshrc": "echo to stdout\nsetenv X 1\nset history=100\n",
    ".config/fish/config.fish": "echo to stdout; echo to stderr >&2\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def sshd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sshd]:
    (tmp_path / "sshd").mkdir()
    options = request.param if isinstance(request.param, dict) else {"shell": request.param}
    server = Sshd(tmp_path / "sshd", **options)
    for name, text in NOISE.items():
        path = server.folder / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield server
    server.stop()


@pytest.fixture
def transport(sshd: Sshd) -> Iterator[Transport]:
    made = connect(DeviceSpec("dut", "linux", "ssh", sshd.address))
    yield made
    made.close()


shells = pytest.mark.parametrize(
    "sshd", ["/bin/bash", "/bin/mksh", "/usr/bin/tcsh", "/usr/bin/fish"], indirect=True
)


@shells
def test_any_login_shell_passes_arguments_output_and_exit_code_on(transport: Transport) -> None:
    script = 'printf "<%s>" "$@"; echo err >&2; exit 7'
    done = transport.run(["sh", "-c", script, "sh", *WORDS], timeout_s=30)
    assert done.stdout == b"".join(b"<%s>" % os.fsencode(word) for word in WORDS)
    assert (done.stderr, done.exit_code) == (b"err\n", 7)


@shells
def test_any_login_shell_lets_files_through(transport: Transport, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for name, data in (("it's !1", bytes(range(256)) * 2000), ("sub/empty", b"")):
        (tree / name).write_bytes(data)
    there = PurePosixPath(tmp_path / "a !b")
    assert transport.push(tree, there).files == 2
    assert transport.push(tree, there).sent_bytes == 0
    transport.pull(there, tmp_path / "back")
    for name in ("it's !1", "sub/empty"):
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()


@shells
def test_any_login_shell_ends_a_command_at_its_deadline(transport: Transport) -> None:
    mark = f"7{time.time_ns() % 10**8}"
    with pytest.raises(JobTimeout):
        transport.run(["sh", "-c", f"sleep {mark} & sleep {mark}"], timeout_s=1.5)
    wait_for(lambda: not any(mark in line for _, _, line in processes()), 3)


@pytest.mark.parametrize(
    ("sshd", "said"),
    [
        ("/usr/sbin/nologin", "This account is currently not available."),
        ("/bin/false", "exit code 1"),
        ({"more": "ForceCommand echo welcome; echo only backups here"}, "only backups here"),
    ],
    indirect=["sshd"],
)
def test_a_login_shell_that_runs_no_commands_is_named(sshd: Sshd, said: str) -> None:
    (sshd.folder / "home/.bashrc").unlink()
    transport = connect(DeviceSpec("dut", "linux", "ssh", sshd.address))
    try:
        for call in (
            lambda: transport.run(["true"], timeout_s=20),
            lambda: transport.pull(PurePosixPath("/etc/hostname"), sshd.folder / "x"),
            lambda: transport.push(sshd.folder / "id.pub", PurePosixPath(sshd.folder / "x")),
        ):
            with pytest.raises(StepFailed) as caught:
                call()
            assert caught.value.message == f"dut: the login shell does not run commands: {said}"
            assert caught.value.hint == "Set a POSIX login shell with `chsh -s /bin/sh`."
    finally:
        transport.close()


# ---- sshd's own limits -------------------------------------------------------------------------


@pytest.mark.parametrize("sshd", [{"more": "MaxSessions 2"}], indirect=True)
def test_a_device_that_lets_in_two_sessions_runs_two_commands_at_once(transport: Transport) -> None:
    def call(number: int) -> str:
        return transport.run(["sh", "-c", f"sleep 0.2; echo {number}"], timeout_s=60).text.strip()

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(call, range(12))) == [str(number) for number in range(12)]


@pytest.mark.parametrize("sshd", [{"more": "MaxSessions 1"}], indirect=True)
def test_without_a_second_session_the_device_ends_a_command_itself(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "GRACE_S", 1)
    mark = f"7{time.time_ns() % 10**8}"
    with pytest.raises(JobTimeout):
        transport.run(["sleep", mark], timeout_s=1)
    assert not any(mark in line for _, _, line in processes())
    assert transport.run(["echo", "ok"], timeout_s=20).stdout == b"ok\n"


@pytest.mark.parametrize("sshd", [{"more": "MaxSessions 0"}], indirect=True)
def test_a_device_without_sessions_says_so(transport: Transport) -> None:
    with pytest.raises(StepFailed) as caught:
        transport.run(["true"], timeout_s=20)
    assert caught.value.message == "dut: the device accepts no more sessions: Connect failed"
    assert caught.value.hint == "Increase MaxSessions in the device's sshd_config."
    assert threading.active_count() < 10
