"""A device over SSH that lies: bench neither hangs nor fills up, and says in one line why."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import paramiko
import pytest

from harness.errors import BenchError, DeviceLost, JobTimeout, StepFailed
from harness.records import DeviceSpec
from harness.transports import Transport, connect, output, push, ssh, ssh_attempt, ssh_way

from .lying_adbd import marks
from .lying_sshd import lying, raw

SOON_S = 10.0


@pytest.fixture(autouse=True)
def short_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(ssh, "STALL_S", 1.0)
    monkeypatch.setattr(ssh_way, "CONNECT_S", 2.0)


def dut(address: str) -> Transport:
    return connect(DeviceSpec("dut", "linux", "ssh", address))


@contextlib.contextmanager
def soon() -> Iterator[None]:
    began, size_kb = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - began < SOON_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size_kb < 128 << 10


def one_line(error: BenchError) -> str:
    assert "\n" not in error.message
    assert len(error.message) < 600
    return error.message


def started(channel: paramiko.Channel, command: str) -> None:
    """What a script of bench's prints first."""
    channel.sendall(marks(command))
    channel.sendall_stderr(marks(command))


def failure(
    folder: Path,
    behave: Callable[[paramiko.Channel, str], object],
    kind: type[BenchError] = DeviceLost,
    **options: bool,
) -> str:
    with lying(folder, behave, **options) as address, soon(), pytest.raises(kind) as caught:
        dut(address).run(["true"], timeout_s=2.0)
    return one_line(caught.value)


# ---- before anybody is let in ------------------------------------------------------------------


def refused(said: Callable[[socket.socket], object]) -> str:
    with raw(said) as address, soon(), pytest.raises(BenchError) as caught:
        dut(address)
    return one_line(caught.value)


def test_a_greeting_without_end_is_not_kept() -> None:
    def said(client: socket.socket) -> None:
        while True:
            client.sendall(b"x" * 65536)

    assert refused(said).endswith("not an SSH server: its greeting does not end")


@pytest.mark.parametrize("size", [(1 << 20) + 4, (2 << 30) + 4, (1 << 32) - 4])
def test_a_packet_of_gigabytes_is_not_waited_for(size: int) -> None:
    def said(client: socket.socket) -> None:
        client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + struct.pack(">I", size))
        while True:
            client.sendall(bytes(65536))

    assert f"cannot connect: packet of {size - 4:,} bytes" in refused(said)


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    assert "cannot connect: " in refused(lambda client: time.sleep(20))


def test_a_name_of_a_server_recolours_no_terminal() -> None:
    said = refused(lambda client: client.sendall(b"SSH-1.0-\x1b]52;c;ZXZpbA==\x07\x1b[2J\r\n"))
    assert said.isprintable()


@pytest.mark.parametrize(
    ("ciphers", "digests"),
    [
        (("3des-cbc",), ()),
        (("aes128-ctr",), ("hmac-md5", "hmac-md5-96")),
        (("aes128-ctr",), ("hmac-sha1-96",)),
    ],
)
def test_what_is_broken_is_not_offered(
    tmp_path: Path, ciphers: tuple[str, ...], digests: tuple[str, ...]
) -> None:
    with (
        lying(tmp_path, ciphers=ciphers, digests=digests) as address,
        soon(),
        pytest.raises(DeviceLost) as caught,
    ):
        dut(address)
    assert "Incompatible ssh server (no acceptable " in one_line(caught.value)


def test_what_is_offered_is_what_openssh_offers() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = paramiko.Transport(ours)
        ssh_attempt._prepare(transport, _address(), ssh_attempt.HostKeys())
        offered = transport.get_security_options()
        assert not [name for name in offered.ciphers if "3des" in name or "arcfour" in name]
        assert not [name for name in offered.digests if "md5" in name or "-96" in name]
        assert not [name for name in offered.kex if "group1-" in name]
        assert "ssh-dss" not in offered.key_types
        transport.close()


def _address() -> ssh_attempt.Address:
    return ssh_attempt.Address(
        "host", 22, "me", keys=(), only_keys=True, password=None, known_hosts=()
    )


# ---- commands ----------------------------------------------------------------------------------


def test_a_command_that_is_never_accepted_is_not_waited_for(tmp_path: Path) -> None:
    said = failure(tmp_path, lambda channel, command: None, mute=True)
    assert said.startswith("dut: connection lost while starting a command: ")


def test_a_connection_that_breaks_while_a_command_is_given_up_prints_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = paramiko.Channel.close

    def close_of_a_broken_one(session: paramiko.Channel) -> None:
        session.get_transport().packetizer.close()
        session.get_transport().sock.close()
        close(session)

    monkeypatch.setattr(paramiko.Channel, "close", close_of_a_broken_one)
    said = failure(tmp_path, lambda channel, command: None, mute=True)
    assert said.startswith("dut: connection lost while starting a command: ")


def test_output_beyond_the_window_is_not_kept(tmp_path: Path) -> None:
    """While it takes no input, nobody reads what it sends; its window is of 16 MB."""

    def behave(channel: paramiko.Channel, command: str) -> None:
        channel.out_window_size = 1 << 40
        while True:
            channel.sendall(bytes(32768))

    (tmp_path / "file").write_bytes(bytes(250_000))
    with lying(tmp_path, behave) as address, soon():
        device = dut(address)
        with pytest.raises(DeviceLost) as caught:
            _push_of_a_slow_reader(device, tmp_path / "file")
    assert "connection lost during a " in one_line(caught.value)


def _push_of_a_slow_reader(device: Transport, file: Path) -> None:
    connection = device._connection  # type: ignore[attr-defined]
    channel = connection.open("cat")
    until = time.monotonic() + SOON_S
    while connection._transports[-1].is_active() and time.monotonic() < until:
        time.sleep(0.02)
    while channel.receive(1.0) is not None:
        pass


def test_a_login_shell_that_prints_for_ever_does_not_outlast_the_deadline(tmp_path: Path) -> None:
    def behave(channel: paramiko.Channel, command: str) -> None:
        while True:
            channel.sendall(b"Welcome! " * 3000)

    assert "exceeded its deadline of 2 s" in failure(tmp_path, behave, JobTimeout)


def test_a_command_that_prints_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LIMIT_BYTES", 4 << 20)

    def behave(channel: paramiko.Channel, command: str) -> None:
        started(channel, command)
        while True:
            channel.sendall_stderr(bytes(30_000))

    said = failure(tmp_path, behave, StepFailed)
    assert said == "true: stopped after more than 4 MB of output"


def test_an_end_without_a_status_is_a_lost_device(tmp_path: Path) -> None:
    def behave(channel: paramiko.Channel, command: str) -> None:
        started(channel, command)
        channel.close()

    assert failure(tmp_path, behave).endswith("no exit status")


@pytest.mark.parametrize("status", [0xFFFFFFFF, 0x80000000, 256])
def test_a_status_that_no_process_has_is_a_failure(tmp_path: Path, status: int) -> None:
    def behave(channel: paramiko.Channel, command: str) -> None:
        started(channel, command)
        channel.send_exit_status(status)
        channel.close()

    with lying(tmp_path, behave) as address, soon():
        assert dut(address).run(["true"], timeout_s=2.0).exit_code == status


def test_a_device_that_takes_input_by_the_byte_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SETTLE_S", 1.0)
    monkeypatch.setattr(push, "SLOWEST_BYTES_PER_S", 1 << 30)
    monkeypatch.setattr(ssh, "WINDOW_BYTES", 1 << 20)

    def behave(channel: paramiko.Channel, command: str) -> None:
        started(channel, command)
        while channel.recv(4096):
            time.sleep(0.05)

    (tmp_path / "file").write_bytes(bytes(250_000))
    with lying(tmp_path, behave) as address, soon(), pytest.raises(DeviceLost) as caught:
        dut(address).push(tmp_path / "file", PurePosixPath("/tmp/x"))
    assert "connection lost during a " in one_line(caught.value)
