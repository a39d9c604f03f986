"""adb servers where adb finds them, their odd devices, and what is neither server nor phone."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transport_servers import environment, free_port, wait_for
from transport_servers.phone import Phone

from harness.errors import BenchError, DeviceLost, StepFailed
from harness.records import DeviceFacts, DeviceSpec
from harness.targets import discover
from harness.transports import Transport, adb_keys, adb_list, adb_messages, connect

pytestmark = pytest.mark.servers
VARIABLES = ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def dut(address: str) -> Transport:
    return connect(DeviceSpec("dut", "android", "adb", address))


# ---- where the server is -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "localfilesystem", "localabstract"])
def test_the_server_that_adb_asks_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Debian's adb serves there, and its own client has connected a phone."""
    place = {
        "tcp": f"127.0.0.1:{free_port()}",
        "localfilesystem": f"{tmp_path}/adb socket",
        "localabstract": f"bench-test-{os.getpid()}",
    }[kind]
    env = {**environment(tmp_path), "ADB_SERVER_SOCKET": f"{kind}:{place}"}
    listens = f"{kind}:{place.removeprefix('127.0.0.1:')}"  # adb listens on loopback only
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "not a port, and not looked at")
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            ["adb", "-L", listens, "nodaemon", "server"],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    phone = Phone(tmp_path)
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"{kind}:{place}")
    try:
        wait_for(lambda: (tmp_path / "log").read_bytes() and _answers())
        subprocess.run(["adb", "connect", phone.address], env=env, check=True, capture_output=True)
        wait_for(lambda: [seen.state for seen in adb_list.listed()] == ["device"], 20)
        assert adb_list.listed()[0].address == phone.address
        transport = dut(f"server:{phone.address}")
        assert transport.run(["echo", "ok"], timeout_s=20).stdout == b"ok\n"
        transport.close()
    finally:
        phone.stop()
        server.terminate()
        server.wait(10)


def _answers() -> bool:
    try:
        adb_list.listed()
    except DeviceLost:
        return False
    return True


def test_a_unix_socket_without_a_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{tmp_path}/none")
    with pytest.raises(DeviceLost) as caught:
        adb_list.listed()
    assert caught.value.message.startswith(f"no answer from an adb server at {tmp_path}/none: ")


# ---- what servers say --------------------------------------------------------------------------

LIST = """\
192.168.0.104:40559    device product:vantage_ge model:Edge_40 device:vantage transport_id:1
adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp device product:p model:Edge_40 device:v transport_id:2
adb-4c753791-lL2him (3)._adb-tls-connect._tcp\toffline transport_id:5
(no serial number)     device usb:1-3 product:p model:Tab device:t transport_id:3
????????????           no permissions (missing udev rules? user is in the plugdev group); see \
[http://developer.android.com/tools/device.html] usb:1-2 transport_id:4
"""


class Served:
    """A server on a port of its own, in a thread; `answer` makes bytes of each connection."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self._answer(client)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def _request(client: socket.socket) -> str:
    size = client.recv(4)
    return client.recv(int(size, 16)).decode() if size else ""


def _blocks(answers: dict[str, str], asked: list[str]) -> Callable[[socket.socket], None]:
    """A server that knows these questions."""

    def answer(client: socket.socket) -> None:
        question = _request(client)
        asked.append(question)
        if question in answers:
            data = answers[question].encode()
            client.sendall(b"OKAY%04x" % len(data) + data)
        else:
            client.sendall(b"FAIL0010device not found")

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Served]]:
    started: list[Served] = []

    def start(answer: Callable[[socket.socket], None]) -> Served:
        started.append(Served(answer))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_devices_are_discovered_whatever_their_serials_are(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(_blocks({"host:devices-l": LIST}, []))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
    connected: list[str] = []

    class There:
        def close(self) -> None: ...

    def connecting(spec: DeviceSpec) -> There:
        connected.append(spec.address)
        return There()

    monkeypatch.setattr(discover.transports, "connect", connecting)
    facts = DeviceFacts("android", "aarch64", "Android 14")
    monkeypatch.setattr(discover.kinds.find("android"), "read_facts", lambda transport: facts)
    offers = discover.discover({})
    serial = "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp"
    assert connected == ["server:192.168.0.104:40559", f"server:{serial}", "server:usb:1-3"]
    assert [(offer.name, offer.reason) for offer in offers] == [
        ("edge-40", ""),
        ("edge-40-2", ""),
        ("adb-4c753791-ll2him-3-adb-tls-connect-tc", "adb state: offline"),
        ("tab", ""),
        ("phone", "adb state: no permissions"),
    ]
    assert f"address: 'server:{serial}'\n" in offers[1].yaml


@pytest.mark.parametrize("state", ["recovery", "sideload", "bootloader", "offline"])
def test_a_device_in_another_state_is_told_so(serve: Callable[..., Served], state: str) -> None:
    serial = "adb-1 (2)._adb-tls-connect._tcp"
    asked: list[str] = []
    answers = {f"host-serial:{serial}:{q}": a for q, a in (("features", ""), ("get-state", state))}
    server = serve(_blocks(answers, asked))
    with pytest.raises(StepFailed) as caught:
        dut(f"server:127.0.0.1:{server.port}/{serial}")
    assert caught.value.message == f"dut: adb state of {serial} is {state}"
    assert asked == list(answers)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("device unauthorized.\nThis adb server's keys", StepFailed, "did not accept the key"),
        ("device offline", DeviceLost, ": device offline"),
        ("device still authorizing", DeviceLost, ": device still authorizing"),
        ("device '1' not found", DeviceLost, ": device '1' not found"),
        ("insufficient permissions for device", DeviceLost, ": insufficient permissions"),
        ("", DeviceLost, ": refused without a reason"),
        ("\xff\xfe", DeviceLost, ": "),
    ],
)
def test_what_a_server_refuses_is_one_line(
    serve: Callable[..., Served], text: str, kind: type[BenchError], message: str
) -> None:
    data = text.encode("latin-1")

    def answer(client: socket.socket) -> None:
        _request(client)
        client.sendall(b"FAIL%04x" % len(data) + data)

    server = serve(answer)
    with pytest.raises(kind) as caught:
        dut(f"server:127.0.0.1:{server.port}/serial")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"OKAYzzzz", b"OKAY", b"OKAY0010short", b"\xff" * 99]
)
def test_what_is_no_adb_server_is_one_line(serve: Callable[..., Served], said: bytes) -> None:
    server = serve(lambda client: client.sendall(said))
    with pytest.raises(DeviceLost, match=f"^dut: the adb server at 127.0.0.1:{server.port} "):
        dut(f"server:127.0.0.1:{server.port}/serial")
    with pytest.raises(DeviceLost, match="adb server"):
        adb_list.listed(adb_list.Server("127.0.0.1", server.port))


# ---- what answers as a phone -------------------------------------------------------------------

HEAD = struct.Struct("<6I")


def message(command: bytes, first: int, second: int, data: bytes) -> bytes:
    number = int.from_bytes(command, "little")
    return HEAD.pack(number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF) + data


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "invalid ADB message"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "invalid ADB message"),
        (b"\xff" * 24, "invalid ADB message"),
        (message(b"CNXN", 0x01000001, 1 << 20, b"sideload::"), "device state is sideload"),
        (
            message(b"CNXN", 0x01000001, 0, b"device::"),
            "accepts messages of 0 bytes, but ADB requires",
        ),
        (
            message(b"AUTH", 1, 0, b"short"),
            "cannot sign the device's token of 5 bytes, expected 20",
        ),
        (message(b"STLS", 1, 0, b""), "unsupported ADB protocol"),
    ],
)
def test_what_is_no_phone_is_one_line(
    serve: Callable[..., Served], said: bytes, match: str
) -> None:
    server = serve(lambda client: (client.recv(1000), client.sendall(said), client.recv(1000)))
    with pytest.raises(BenchError, match=f"^dut: .*{match}"):
        dut(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n\xff\n"])
def test_an_adb_key_that_is_broken_is_named(tmp_path: Path, content: bytes) -> None:
    adb_keys.signer()
    path = tmp_path / "cache" / "adb" / "adbkey"
    path.write_bytes(content)
    phone = Phone(tmp_path)
    try:
        with pytest.raises(StepFailed, match=f"the adb key {path}: "):
            dut(phone.address)
    finally:
        phone.stop()


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
def test_a_name_that_no_host_can_have_is_a_device_that_is_away(host: str) -> None:
    with pytest.raises(DeviceLost, match="cannot|invalid host name"):
        dut(f"{host}:5555")
    with pytest.raises(DeviceLost, match="cannot|invalid host name"):
        dut(f"server:{host}:5037/serial")


def test_an_address_of_ipv6_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_messages, "ANSWER_S", 1.0)
    with pytest.raises(DeviceLost, match=r"^dut: \[::1\]:9: cannot connect: "):
        dut("[::1]:9")
