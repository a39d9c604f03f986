"""Keys, agents, known_hosts and ways to a real sshd that are broken, odd, or many."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from transport_servers import free_port, wait_for
from transport_servers.sshd import Sshd, make_key

from harness.errors import BenchError, DeviceLost, StepFailed, UsageError
from harness.records import DeviceSpec
from harness.transports import Transport, connect, ssh_attempt, ssh_keys

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def sshd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sshd]:
    (tmp_path / "sshd").mkdir()
    server = Sshd(tmp_path / "sshd", more=getattr(request, "param", ""))
    yield server
    server.stop()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Adds keys to an agent of our own."""
    path = tmp_path / "agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    wait_for(path.exists)
    yield lambda *argv: subprocess.run(["ssh-add", "-q", *map(str, argv)], check=True)
    process.terminate()
    process.wait()


def dut(address: str) -> Transport:
    return connect(DeviceSpec("dut", "linux", "ssh", address))


def works(address: str) -> bool:
    transport = dut(address)
    try:
        return transport.run(["echo", "ok"], timeout_s=20).stdout == b"ok\n"
    finally:
        transport.close()


def plain(sshd: Sshd, *options: str) -> str:
    """The server's address without its key."""
    query = "&".join(["config=none", f"known_hosts={sshd.known_hosts}", *options])
    return f"{sshd.user}@127.0.0.1:{sshd.port}?{query}"


def encrypted(source: Path, target: Path, *more: str) -> Path:
    shutil.copy(source, target)
    target.chmod(0o600)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "s3cret", *more, "-f", str(target)]
    subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
    return target


# ---- known_hosts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"old ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBH0+\n",
        b"old ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl "
        b"B\xfcro\n",
        b"\x00\xff\xfe\n",
    ],
)
def test_a_broken_line_of_known_hosts_costs_no_other_host(sshd: Sshd, line: bytes) -> None:
    sshd.known_hosts.write_bytes(line + sshd.known_hosts.read_bytes())
    assert works(sshd.address)


def host_key(sshd: Sshd) -> str:
    return " ".join((sshd.folder / "host_key.pub").read_text().split()[:2])


def test_a_revoked_host_key_is_refused(sshd: Sshd) -> None:
    with sshd.known_hosts.open("a") as file:
        file.write(f"@revoked * {host_key(sshd)}\n")
    with pytest.raises(StepFailed, match="revoked host key: ssh-ed25519 SHA256:"):
        dut(sshd.address)


@pytest.mark.parametrize("form", ["text", "krl", "missing"])
def test_a_host_key_in_sshs_revocation_list_is_refused(
    sshd: Sshd, tmp_path: Path, form: str
) -> None:
    revoked = tmp_path / "revoked"
    if form == "text":
        revoked.write_text(host_key(sshd) + "\n")
    elif form == "krl":
        make = ["ssh-keygen", "-q", "-k", "-f", str(revoked), str(sshd.folder / "host_key.pub")]
        subprocess.run(make, check=True)
    config = tmp_path / "config"
    config.write_text(f"RevokedHostKeys {revoked}\n")
    with pytest.raises(StepFailed, match="revoked host key"):
        dut(f"{sshd.address}&config={config}")


def test_a_certificate_authority_is_said_not_to_count(sshd: Sshd) -> None:
    sshd.known_hosts.write_text(f"@cert-authority * {host_key(sshd)}\n")
    with pytest.raises(
        StepFailed, match="unknown host key .bench does not support host certificates"
    ):
        dut(sshd.address)


def test_the_server_is_asked_for_a_type_of_key_that_is_known(tmp_path: Path) -> None:
    """It has an ed25519 key too, which would be the first choice."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    for kind, bits in (("ecdsa", "256"), ("rsa", "2048")):
        make = ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(folder / kind)]
        subprocess.run(make, check=True)
    sshd = Sshd(folder, more=f"HostKey {folder}/ecdsa\nHostKey {folder}/rsa")
    try:
        for kind in ("ecdsa", "rsa"):
            key = " ".join((folder / f"{kind}.pub").read_text().split()[:2])
            sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {key}\n")
            assert works(sshd.address)
    finally:
        sshd.stop()


def test_an_alias_is_looked_up_without_the_port(sshd: Sshd, tmp_path: Path) -> None:
    sshd.known_hosts.write_text(f"my-orin {host_key(sshd)}\n")
    config = tmp_path / "config"
    config.write_text("HostKeyAlias my-orin\n")
    assert works(f"{sshd.address}&config={config}")


# ---- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "form"),
    [("rsa", "PEM"), ("rsa", "PKCS8"), ("rsa", "RFC4716"), ("ecdsa", "PEM"), ("ecdsa", "PKCS8")],
)
def test_keys_of_every_type_and_format(sshd: Sshd, tmp_path: Path, kind: str, form: str) -> None:
    key = tmp_path / "key"
    bits = "2048" if kind == "rsa" else "384"
    make = ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-m", form, "-N", "", "-f", str(key)]
    subprocess.run(make, check=True)
    shutil.copy(f"{key}.pub", sshd.folder / "id.pub")
    assert works(plain(sshd, f"key={key}"))


@pytest.mark.parametrize("more", [(), ("-m", "PEM")])
def test_a_key_with_a_passphrase_is_named(
    sshd: Sshd, tmp_path: Path, more: tuple[str, ...]
) -> None:
    source = tmp_path / "rsa"
    make = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(source)]
    subprocess.run(make, check=True)
    key = encrypted(source, tmp_path / "locked", *more)
    with pytest.raises(StepFailed) as caught:
        dut(plain(sshd, f"key={key}"))
    assert caught.value.message == (
        f"dut: {sshd.user}@127.0.0.1:{sshd.port}: the key has a passphrase: {key}"
    )
    assert caught.value.hint == f"Add it to your agent with `ssh-add {key}`."


def test_a_key_with_a_passphrase_works_by_the_agent(
    sshd: Sshd, tmp_path: Path, agent: Callable[..., None]
) -> None:
    agent(sshd.folder / "id")
    key = encrypted(sshd.folder / "id", tmp_path / "locked")
    shutil.copy(sshd.folder / "id.pub", f"{key}.pub")
    assert works(plain(sshd, f"key={key}"))


def test_a_public_key_file_chooses_the_agents_key(
    sshd: Sshd, tmp_path: Path, agent: Callable[..., None]
) -> None:
    for number in range(8):  # more than MaxAuthTries
        make_key(tmp_path / f"other{number}")
        agent(tmp_path / f"other{number}")
    agent(sshd.folder / "id")
    assert works(plain(sshd, f"key={sshd.folder}/id.pub"))


def test_a_public_key_that_the_agent_lacks_is_named(sshd: Sshd) -> None:
    with pytest.raises(StepFailed) as caught:
        dut(plain(sshd, f"key={sshd.folder}/id.pub"))
    assert caught.value.message.endswith(
        f"login refused: no key to offer; {sshd.folder}/id.pub is not in the agent"
    )


@pytest.mark.parametrize("sshd", ["MaxAuthTries 3"], indirect=True)
def test_too_many_keys_are_a_refused_login(
    sshd: Sshd, tmp_path: Path, agent: Callable[..., None]
) -> None:
    for number in range(5):
        make_key(tmp_path / f"other{number}")
        agent(tmp_path / f"other{number}")
    with pytest.raises(StepFailed) as caught:
        dut(plain(sshd))
    assert "login refused: none accepted of the agent's ssh-ed25519 'test', " in (
        caught.value.message
    )
    assert caught.value.message.endswith("; the device closed the connection")


@pytest.mark.parametrize("content", ["", "garbage\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nAA\n"])
def test_a_key_file_that_is_broken_costs_only_its_turn(
    sshd: Sshd, tmp_path: Path, content: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(content)
    config = tmp_path / "config"
    lines = (broken, tmp_path / "missing", tmp_path, sshd.folder / "id")
    config.write_text("".join(f"IdentityFile {path}\n" for path in lines))
    known = f"known_hosts={sshd.known_hosts}&config={config}"
    assert works(f"{sshd.user}@127.0.0.1:{sshd.port}?{known}")
    with pytest.raises(StepFailed, match=f"{broken}: not a readable private key$"):
        dut(plain(sshd, f"key={broken}"))


# ---- agents ------------------------------------------------------------------------------------


class OddAgent:
    """Answers every request with the same bytes; None: never."""

    def __init__(self, path: Path, answer: bytes | None) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._answer, self._open = answer, list[socket.socket]()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            if self._answer is not None:
                client.recv(1000)
                client.sendall(self._answer)
                client.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for client in self._open:
            client.close()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"\0\0\0\1\5",
        b"\0\0\0\5\x0c\0\0\0\1",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x11\x0c\0\0\0\1\0\0\0\4\0\0\0\0\0\0\0\0",
        b"\0\0\0\x12\x0c\0\0\0\1\0\0\0\5\0\0\0\1\xff\0\0\0\0",
    ],
)
def test_an_agent_that_is_broken_costs_only_its_turn(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    monkeypatch.setattr(ssh_keys, "ANSWER_S", 0.5)
    odd = OddAgent(tmp_path / "odd", answer)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "odd"))
    try:
        assert works(sshd.address)
        with pytest.raises(StepFailed, match="login refused: "):
            dut(plain(sshd))
    finally:
        odd.stop()


def test_an_agent_that_is_gone_costs_only_its_turn(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    assert works(sshd.address)
    with pytest.raises(StepFailed, match=f"the agent at {tmp_path}/gone: "):
        dut(plain(sshd))


def test_a_key_that_the_agent_does_not_sign_with_costs_only_its_turn(
    sshd: Sshd, tmp_path: Path, agent: Callable[..., None], home: Path
) -> None:
    """Nobody can be asked whether it may."""
    agent("-c", sshd.folder / "id")
    with pytest.raises(StepFailed, match="'test': key cannot be used for signing"):
        dut(plain(sshd))
    (home / ".ssh").mkdir()
    make_key(home / ".ssh" / "id_ed25519")
    keys = [sshd.folder / "id.pub", home / ".ssh" / "id_ed25519.pub"]
    text = "".join(key.read_text() for key in keys)
    (sshd.folder / "id.pub").write_text(text)
    assert works(plain(sshd))


def test_the_configs_agent_is_asked(
    sshd: Sshd, tmp_path: Path, agent: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent(sshd.folder / "id")
    path = os.environ["SSH_AUTH_SOCK"]
    monkeypatch.setenv("LAB_AGENT", path)
    monkeypatch.delenv("SSH_AUTH_SOCK")
    config = tmp_path / "config"
    base = f"{sshd.user}@127.0.0.1:{sshd.port}?known_hosts={sshd.known_hosts}&config={config}"
    for value in (path, "$LAB_AGENT"):
        config.write_text(f"IdentityAgent {value}\n")
        assert works(base)
    config.write_text("IdentityAgent none\n")
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    with pytest.raises(StepFailed, match="no key to offer"):
        dut(base)


# ---- ways --------------------------------------------------------------------------------------


def through(sshd: Sshd, tmp_path: Path, text: str) -> str:
    config = tmp_path / "home" / ".ssh" / "lab"
    config.parent.mkdir()
    config.write_text(
        f"{text}\nHost *\n  User {sshd.user}\n  IdentityFile {sshd.folder}/id\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
    )
    return f"orin?config={config}"


def test_a_proxy_command_is_a_line_for_the_shell(sshd: Sshd, tmp_path: Path) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, select, socket, sys\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "while True:\n"
        "    for fd in select.select([0, s.fileno()], [], [])[0]:\n"
        "        data = os.read(fd, 65536)\n"
        "        if not data: sys.exit()\n"
        "        os.write(1, data) if fd != 0 else s.sendall(data)\n"
    )
    command = f"env X=1 python3 {relay} %h %p 2>/dev/null"
    assert works(through(sshd, tmp_path, f"Host orin\n  ProxyCommand {command}"))


def test_a_proxy_command_that_fails_says_why(sshd: Sshd, tmp_path: Path) -> None:
    address = through(sshd, tmp_path, "Host orin\n  ProxyCommand sh -c 'echo no VPN >&2; exit 3'")
    with pytest.raises(DeviceLost) as caught:
        dut(address)
    assert caught.value.message.startswith(
        f"dut: {sshd.user}@127.0.0.1:{sshd.port}: cannot connect: "
    )
    assert caught.value.message.endswith("(ProxyCommand: no VPN)")


def test_a_jump_host_may_have_a_jump_host_of_its_own(sshd: Sshd, tmp_path: Path) -> None:
    text = (
        "Host orin\n  ProxyJump near\nHost near\n  ProxyJump nearer,me@nearest:22\nHost nearest\n"
    )
    text = text.replace("me@nearest:22", f"{sshd.user}@nearest:{sshd.port}")
    assert works(through(sshd, tmp_path, text))
    log = (sshd.folder / "log").read_text()
    assert log.count("Accepted publickey") == 4


def test_jump_hosts_in_a_circle_are_named(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        dut(through(sshd, tmp_path, "Host *\n  ProxyJump bastion"))
    assert caught.value.message == (
        "devices/dut.yaml: address: the jump hosts form a loop at "
        f"{sshd.user}@127.0.0.1:{sshd.port}"
    )


def test_a_jump_host_that_is_none_is_named(sshd: Sshd) -> None:
    with pytest.raises(UsageError, match="address: jump host 'a:b': port 'b' is not a number"):
        dut(f"{sshd.address}&jump=a:b&config=none")


def test_a_jump_host_that_forwards_nothing_is_named(sshd: Sshd, tmp_path: Path) -> None:
    sshd.stop()
    with (sshd.folder / "sshd_config").open("a") as file:
        file.write("AllowTcpForwarding no\n")
    sshd.start()
    with pytest.raises(DeviceLost) as caught:
        dut(through(sshd, tmp_path, "Host orin\n  ProxyJump near"))
    assert f"the jump host cannot reach 127.0.0.1:{sshd.port}: " in caught.value.message


def test_an_address_of_ipv6(tmp_path: Path) -> None:
    folder = tmp_path / "sshd"
    folder.mkdir()
    sshd = Sshd(folder, more="ListenAddress ::1")
    try:
        sshd.known_hosts.write_text(f"[::1]:{sshd.port} {host_key(sshd)}\n")
        query = f"key={folder}/id&known_hosts={sshd.known_hosts}&config=none"
        assert works(f"{sshd.user}@[::1]:{sshd.port}?{query}")
        with pytest.raises(DeviceLost, match=r"me@\[fe80::1%lo\]:9: cannot connect: "):
            dut(f"me@[fe80::1%lo]:9?{query}")
    finally:
        sshd.stop()


@pytest.mark.parametrize(
    ("host", "said"), [("a..b", "cannot connect: "), ("x" * 70 + ".lab", "cannot connect: ")]
)
def test_a_name_that_no_host_can_have_is_a_device_that_is_away(host: str, said: str) -> None:
    with pytest.raises(DeviceLost, match=said):
        dut(f"me@{host}?config=none")


@pytest.mark.parametrize(
    "greeting",
    [b"", b"SSH-2.0-x\r\n" + b"\xff" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 300,
     b"SSH-1.5-old\r\n", b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + b"\0" * 10],
)  # fmt: skip
def test_what_is_no_ssh_server_is_one_line(greeting: bytes) -> None:
    port = free_port()
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(greeting)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(
            BenchError, match=r"^dut: me@127\.0\.0\.1:\d+: cannot [a-z ]+: "
        ) as caught:
            dut(f"me@127.0.0.1:{port}?config=none")
        assert "\n" not in caught.value.message
    finally:
        thread.join(5)
        listener.close()


def test_a_bug_of_our_own_is_not_taken_for_the_devices(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ssh_attempt, "_prepare", bug)
    with pytest.raises(ZeroDivisionError):
        dut(sshd.address)


@pytest.mark.parametrize(
    "error", [ValueError("odd"), AttributeError("x"), struct.error("short"), KeyError(7)]
)
def test_whatever_paramiko_raises_is_that_devices_error(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", fail)
    with pytest.raises(StepFailed) as caught:
        dut(sshd.address)
    assert f": cannot log in: {type(error).__name__}: " in caught.value.message
    monkeypatch.undo()


@pytest.mark.parametrize("sshd", ["Banner /etc/debian_version"], indirect=True)
def test_a_banner_before_the_login_is_no_answer(sshd: Sshd) -> None:
    assert works(sshd.address)
