"""A device over ADB that lies: bench neither hangs nor fills up, and says in one line why."""

from __future__ import annotations

import itertools
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest
import yaml

from harness.errors import BenchError, DeviceLost, JobTimeout, StepFailed
from harness.records import DeviceSpec
from harness.targets import discover
from harness.transports import (
    Transport,
    adb_channel,
    adb_client,
    adb_list,
    adb_messages,
    adb_pipe,
    adb_wire,
    channel,
    connect,
    output,
)

from .lying_adbd import EXIT, HEAD, PACKET, STDERR, STDOUT, Peer, lying, marks, message, packet

#: no attack may take longer; where bench has a patience of its own, tests make it shorter
SOON_S = 8.0


@pytest.fixture(autouse=True)
def short_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(adb_channel, "STALL_S", 0.5)
    monkeypatch.setattr(adb_messages, "ANSWER_S", 0.5)
    monkeypatch.setattr(adb_messages, "ACCEPT_S", 0.5)


def dut(address: str) -> Transport:
    return connect(DeviceSpec("dut", "android", "adb", address))


@contextmanager
def soon() -> Iterator[None]:
    """It is over soon, and has not taken much memory."""
    began, size_kb = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - began < SOON_S
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size_kb
    assert grown_kb < 128 << 10


def one_line(error: BenchError) -> str:
    assert "\n" not in error.message
    assert len(error.message) < 600
    return error.message


def failure(behave: Callable[[Peer], object], kind: type[BenchError] = DeviceLost) -> str:
    """What a command on such a device ends with."""
    with lying(behave) as address, soon(), pytest.raises(kind) as caught:
        dut(address).run(["true"], timeout_s=2.0)
    return one_line(caught.value)


# ---- before anybody is let in ------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 19, 21, 1 << 20])
def test_a_token_of_another_length_is_not_signed(size: int) -> None:
    answers: list[bytes] = []

    def behave(peer: Peer) -> None:
        peer.read()
        peer.write(b"AUTH", 1, 0, bytes(size))
        answers.append(peer.read()[0])

    said = failure(behave, StepFailed)
    assert said == f"dut: cannot sign the device's token of {size:,} bytes, expected 20"
    assert answers == []


@pytest.mark.parametrize("kind", [0, 2, 3, 0xFFFFFFFF])
def test_what_is_no_token_is_not_signed(kind: int) -> None:
    said = failure(lambda peer: (peer.read(), peer.write(b"AUTH", kind, 0, bytes(20))), StepFailed)
    assert said == "dut: unsupported ADB protocol"


def test_a_device_that_asks_for_ever_is_not_signed_for_ever() -> None:
    asked = itertools.count()

    def behave(peer: Peer) -> None:
        while True:
            peer.read()
            peer.write(b"AUTH", 1, next(asked), bytes(20))

    assert failure(behave, StepFailed).startswith(
        "dut: the phone did not accept bench's key within"
    )
    assert next(asked) == 3  # a token, and a refusal of the signature and of the key


@pytest.mark.parametrize("size", [0, 1, 4095])
def test_messages_of_no_size_are_refused(size: int) -> None:
    said = failure(lambda peer: peer.greet(max_data=size), StepFailed)
    assert said == f"dut: accepts messages of {size:,} bytes, but ADB requires 4,096"


@pytest.mark.parametrize("size", [(1 << 20) + 1, 2 << 30, (1 << 32) - 1])
def test_a_message_of_gigabytes_is_not_waited_for(size: int) -> None:
    number = int.from_bytes(b"CNXN", "little")
    head = HEAD.pack(number, 0x01000001, 1 << 20, size, 0, number ^ 0xFFFFFFFF)
    said = failure(lambda peer: (peer.read(), peer.socket.sendall(head)))
    assert "invalid ADB message" in said


def test_a_greeting_that_comes_byte_by_byte_is_not_waited_for() -> None:
    def behave(peer: Peer) -> None:
        peer.read()
        for byte in message(b"CNXN", 0x01000001, 1 << 20, b"device::" + bytes(10_000)):
            peer.socket.sendall(bytes([byte]))
            time.sleep(0.05)

    assert failure(behave).startswith("dut: no answer to the ADB handshake: ")


def test_a_state_recolours_no_terminal() -> None:
    banner = b"\x1b]8;;http://evil\x07click\x1b]52;c;ZXZpbA==\x07\n\r\x1b[2J::"

    def behave(peer: Peer) -> None:
        peer.read()
        peer.write(b"CNXN", 0x01000001, 1 << 20, banner)

    said = failure(behave, StepFailed)
    assert said.isprintable()
    assert said.startswith("dut: device state is ")


# ---- messages of streams -----------------------------------------------------------------------


def test_a_stream_that_is_never_opened_is_not_waited_for() -> None:
    assert failure(Peer.greet).endswith("while starting a command: no answer for 0.5 s")


def test_garbage_in_the_middle_breaks_the_connection_and_the_next_call_makes_another() -> None:
    connections = itertools.count()

    def behave(peer: Peer) -> None:
        peer.greet()
        number, service = peer.opened()
        if next(connections) == 0:
            peer.socket.sendall(b"\0" * 24)
            return
        peer.say(number, packet(STDOUT, marks(service)) + packet(STDERR, marks(service)))
        peer.say(number, packet(STDOUT, b"hello") + packet(EXIT, b"\0"))

    with lying(behave) as address, soon():
        device = dut(address)
        with pytest.raises(DeviceLost, match="invalid ADB message"):
            device.run(["true"], timeout_s=2.0)
        assert device.run(["true"], timeout_s=2.0).stdout == b"hello"


def test_a_reader_that_dies_of_anything_leaves_a_dead_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(adb_wire, "_deliver", broken)
    with lying(lambda peer: (peer.greet(), peer.opened())) as address, soon():
        link = adb_wire.Wire("dut", adb_pipe.TcpPipe("dut", *endpoint(address)))
        with pytest.raises(DeviceLost) as caught:
            link.open("shell:true", 5.0)
        assert not link.alive
    assert one_line(caught.value) == (
        "dut: connection lost while starting a command: RuntimeError: a bug of ours"
    )


def endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")
    return host, int(port)


def test_a_message_of_nothing_is_not_the_end() -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, service = peer.opened()
        peer.write(b"WRTE", 7, number, b"")
        peer.say(number, packet(STDOUT, marks(service)) + packet(STDERR, marks(service)))
        peer.write(b"WRTE", 7, number, b"")
        peer.say(number, packet(STDOUT, b"hello") + packet(EXIT, b"\0"))

    with lying(behave) as address, soon():
        assert dut(address).run(["true"], timeout_s=2.0).stdout == b"hello"


def test_messages_for_streams_that_there_are_not_change_nothing() -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, service = peer.opened()
        for command in (b"OKAY", b"WRTE", b"CLSE", b"OPEN", b"SYNC", b"CNXN", b"AUTH"):
            for other in (0, number + 1, 0xFFFFFFFF):
                peer.write(command, other, other, b"x")
        peer.say(number, packet(STDOUT, marks(service)) + packet(STDERR, marks(service)))
        peer.say(number, packet(STDOUT, b"hello") + packet(EXIT, b"\0"))

    with lying(behave) as address, soon():
        assert dut(address).run(["true"], timeout_s=2.0).stdout == b"hello"


def test_output_that_waits_for_nobody_is_not_kept() -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, _ = peer.opened()
        flood = message(b"WRTE", 7, number, bytes(1 << 20))
        while True:
            peer.socket.sendall(flood)

    with lying(behave) as address, soon():
        link = adb_wire.Wire("dut", adb_pipe.TcpPipe("dut", *endpoint(address)))
        stream = link.open("shell:true", 2.0)
        while link.alive:  # nobody takes anything meanwhile
            time.sleep(0.01)
        with pytest.raises(DeviceLost) as caught:
            drain(stream)
    assert one_line(caught.value).endswith(": sent 16 MB that were not requested")


def drain(stream: adb_wire.Stream) -> None:
    while data := stream.receive(1.0):
        assert len(data) <= adb_wire.AHEAD_BYTES


# ---- packets of commands -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1 << 20) + 1, 2 << 30, (1 << 32) - 1])
@pytest.mark.parametrize("kind", [STDOUT, STDERR, EXIT, 77])
def test_a_packet_of_gigabytes_is_not_waited_for(kind: int, size: int) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, _ = peer.opened()
        peer.say(number, PACKET.pack(kind, size) + b"some of it")

    assert failure(behave) == (f"dut: connection lost during a command: packet of {size:,} bytes")


def test_an_exit_without_a_code_is_a_lost_device() -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, _ = peer.opened()
        peer.say(number, packet(EXIT, b""))

    assert failure(behave).endswith("during a command: no exit status")


def test_packets_that_say_nothing_do_not_outlast_the_deadline() -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, _ = peer.opened()
        while True:
            peer.say(number, packet(77, b"x") + packet(STDOUT, b""))

    assert failure(behave, JobTimeout) == (
        "true on dut exceeded its deadline of 2 s and was killed"
    )


def test_a_login_shell_that_prints_for_ever_does_not_outlast_the_deadline() -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        number, _ = peer.opened()
        while True:
            peer.say(number, packet(STDOUT, b"Welcome! " * 10_000))

    assert "exceeded its deadline of 2 s" in failure(behave, JobTimeout)


def test_a_command_that_prints_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LIMIT_BYTES", 8 << 20)

    def behave(peer: Peer) -> None:
        peer.greet()
        number, service = peer.opened()
        peer.say(number, packet(STDOUT, marks(service)) + packet(STDERR, marks(service)))
        while True:
            peer.say(number, packet(STDOUT, bytes(1 << 19)))

    assert failure(behave, StepFailed) == "true: stopped after more than 8 MB of output"


def test_an_answer_without_end_is_a_lost_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dribbles, so that there is always something new."""
    monkeypatch.setattr(channel, "WHOLE_S", 1.0)
    monkeypatch.setattr(channel.collect, "__defaults__", (0.5, 1.0))

    def behave(peer: Peer) -> None:
        peer.greet()
        number, service = peer.opened()
        peer.say(number, packet(STDOUT, marks(service)) + packet(STDERR, marks(service)))
        while True:
            peer.say(number, packet(STDOUT, b"."))
            time.sleep(0.05)

    (tmp_path / "folder").mkdir()
    with lying(behave) as address, soon(), pytest.raises(DeviceLost) as caught:
        dut(address).push(tmp_path / "folder", PurePosixPath("/data/x"))
    assert one_line(caught.value) == (
        "dut: connection lost while querying files: no end of its answer within 1 s"
    )


# ---- what is sent to it ------------------------------------------------------------------------


def pushed(tmp_path: Path, behave: Callable[[Peer], object]) -> str:
    """What a push to such a device ends with."""
    (tmp_path / "file").write_bytes(bytes(100_000))
    with lying(behave) as address, soon(), pytest.raises(DeviceLost) as caught:
        dut(address).push(tmp_path / "file", PurePosixPath("/data/x"))
    return one_line(caught.value)


def test_input_that_is_never_acknowledged_is_a_lost_device(tmp_path: Path) -> None:
    said = pushed(tmp_path, lambda peer: (peer.greet(max_data=4096), peer.opened()))
    assert said == "dut: connection lost during a push: stalled for 0.5 s"


def test_output_that_never_ends_while_input_is_not_taken_is_a_lost_device(tmp_path: Path) -> None:
    def behave(peer: Peer) -> None:
        peer.greet(max_data=4096)
        number, _ = peer.opened()
        while True:
            peer.write(b"WRTE", 7, number, bytes(1 << 20))

    said = pushed(tmp_path, behave)
    assert said.endswith("sent 16 MB that were not requested")


def test_a_device_that_reads_nothing_any_more_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_pipe, "WRITE_S", 0.5)

    def behave(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.greet()
        number, _ = peer.opened()
        for _ in range(1000):  # more is wanted, and nothing read
            peer.write(b"OKAY", 7, number)
        time.sleep(SOON_S)

    with lying(behave) as address, soon():
        link = adb_wire.Wire("dut", adb_pipe.TcpPipe("dut", *endpoint(address)))
        stream = link.open("shell:cat", 2.0)
        with pytest.raises(DeviceLost) as caught:
            stream.send(bytes(32 << 20), 2.0)
    assert one_line(caught.value).endswith("did not accept a message within 0.5 s")


# ---- without shell v2 --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [b"9" * 5000, b"9" * 17, b"x", b"", b"-1"])
def test_an_exit_code_that_is_none_is_a_lost_device(code: bytes) -> None:
    def behave(peer: Peer) -> None:
        peer.greet(features="cmd")
        number, service = peer.opened()
        tail = service[service.rindex("bench-") :].removesuffix(" $?").encode()
        peer.say(number, marks(service) * 2 + b"hello" + tail + b" " + code)
        peer.write(b"CLSE", 7, number)

    assert failure(behave).startswith("dut: connection lost during a command: ")


def test_output_after_the_end_is_not_kept() -> None:
    def behave(peer: Peer) -> None:
        peer.greet(features="cmd")
        number, service = peer.opened()
        tail = service[service.rindex("bench-") :].removesuffix(" $?").encode()
        while True:
            peer.say(number, tail + b" " + b"0" * 100_000)

    assert failure(behave).endswith("during a command: more output after its end")


# ---- an adb server that lies -------------------------------------------------------------------


def asked(said: bytes, each_s: float = 0.0) -> str:
    def behave(peer: Peer) -> None:
        peer.socket.recv(1000)
        for at in range(0, len(said), 1 if each_s else len(said)):
            peer.socket.sendall(said[at : at + 1] if each_s else said)
            time.sleep(each_s)

    with lying(behave) as address, soon(), pytest.raises(BenchError) as caught:
        dut(f"server:{address}/serial")
    return one_line(caught.value)


@pytest.mark.parametrize("length", [b"-001", b"+001", b"0x1f", b" 1_0", b"\0\0\0\0"])
def test_a_servers_length_that_is_none_is_named(length: bytes) -> None:
    assert f"invalid length {length!r}" in asked(b"OKAY" + length + b"x" * 40)


def test_a_server_that_dribbles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_client, "ANSWER_S", 0.5)
    said = asked(b"OKAYffff" + b"x" * 100, each_s=0.05)
    assert said.endswith("does not answer: incomplete answer after 0.5 s")


def test_what_a_server_refuses_with_is_one_short_line() -> None:
    said = asked(b"FAILffff" + b"\x1b]52;c;ZXZpbA==\x07 no " * 2048 + b"x" * 65535)
    assert said.isprintable()


def test_no_line_of_a_server_takes_long() -> None:
    began = time.monotonic()
    for line in ("a device (" + ":" * 60_000 + " !", "a device (" + " x:" * 20_000 + " !"):
        assert len(adb_list.parse(line).serial) <= adb_list.LONGEST_LINE
    assert time.monotonic() - began < 2


def test_what_a_phone_is_called_makes_no_other_address_and_no_other_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A USB device says itself what its serial is."""
    lines = (
        "10.0.0.5:5037/x device usb:1-1 product:p model:One device:d",
        "it's\" \\x41 device usb:1-2 product:p model:Two device:d",
        "\x1b]52;c;ZXZpbA==\x07x device usb:1-3 product:p model:Three device:d",
    )
    monkeypatch.setattr(adb_list, "listed", lambda: tuple(map(adb_list.parse, lines)))
    connected: list[str] = []

    def connecting(spec: DeviceSpec) -> Transport:
        connected.append(spec.address)
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(discover.transports, "connect", connecting)
    slash, quotes, escape = discover.discover({})
    assert slash.reason.startswith("its serial has a '/'")
    assert connected == ["server:it's\" \\x41", "server:x"]
    assert quotes.reason == escape.reason == "bug: ZeroDivisionError: a bug of ours"
    text = discover.text(quotes.address, "x\nsteady: [governor]\n: '\"")
    assert yaml.safe_load(text)["address"] == quotes.address
    assert yaml.safe_load(text)["steady"] == ["stay_awake"]
    assert yaml.safe_load(text)["description"] == "xsteady governor"
