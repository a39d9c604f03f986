"""Logging in: host keys, keys, the agent, a jump host; adb's key and prompt, and Debian's adb."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import paramiko
import pytest
from transport_servers.password import PASSWORD, PasswordServer
from transport_servers.phone import AdbServer, Phone
from transport_servers.sshd import Sshd, make_key

from harness.errors import DeviceLost, StepFailed
from harness.records import DeviceSpec
from harness.transports import Transport, adb_messages, connect, ssh


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    server = Phone(tmp_path_factory.mktemp("phone"))
    yield server
    server.stop()


def dut(transport: str, address: str) -> Transport:
    return connect(DeviceSpec("dut", "linux", transport, address))


def works(transport: Transport) -> bool:
    try:
        return transport.run(["echo", "ok"], timeout_s=20).stdout == b"ok\n"
    finally:
        transport.close()


# ---- ssh ---------------------------------------------------------------------------------------


def fingerprint(sshd: Sshd) -> str:
    command = ["ssh-keygen", "-lf", str(sshd.folder / "host_key.pub")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


@pytest.mark.parametrize("error", [EOFError(), BrokenPipeError()])
def test_a_loss_that_only_the_writer_has_seen_yet_is_mended(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The thread that reads the connection may take a while on a busy machine."""
    transport = dut("ssh", sshd.address)
    real, calls = ssh._start, iter([error])

    def start(session: paramiko.Transport, command: str) -> paramiko.Channel:
        assert session.is_active()
        for waiting in calls:
            raise waiting
        return real(session, command)

    monkeypatch.setattr(ssh, "_start", start)
    assert works(transport)


def test_a_loss_that_reading_meets_is_one(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = dut("ssh", sshd.address)

    def gone(_: paramiko.Channel, __: int) -> bytes:
        raise EOFError

    monkeypatch.setattr(paramiko.Channel, "recv", gone)
    with pytest.raises(DeviceLost, match="^dut: connection lost during a command"):
        transport.run(["echo", "ok"], timeout_s=20)
    monkeypatch.undo()
    assert works(transport)


def test_an_unknown_host_key_is_shown_and_not_accepted(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(StepFailed) as caught:
        dut("ssh", sshd.address)
    assert caught.value.message == (
        f"dut: {sshd.user}@127.0.0.1:{sshd.port}: unknown host key: ssh-ed25519 {fingerprint(sshd)}"
    )
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {sshd.known_hosts}" in caught.value.hint
    assert sshd.known_hosts.read_text() == ""


def test_a_changed_host_key_is_an_error_and_stays_one(sshd: Sshd) -> None:
    before = fingerprint(sshd)
    sshd.stop()
    make_key(sshd.folder / "host_key")
    sshd.start()
    with pytest.raises(StepFailed) as caught:
        dut("ssh", sshd.address)
    assert f"has changed: ssh-ed25519 {fingerprint(sshd)} now" in caught.value.message
    assert f"ssh-ed25519 {before} before" in caught.value.message
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {sshd.known_hosts}`" in caught.value.hint


def test_a_key_that_is_not_authorised_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    with pytest.raises(StepFailed, match="login refused") as caught:
        dut("ssh", sshd.address.replace(f"{sshd.folder}/id", str(tmp_path / "other")))
    assert "ssh-copy-id" in caught.value.hint


def test_nobody_listens(sshd: Sshd) -> None:
    sshd.stop()
    with pytest.raises(DeviceLost, match="cannot connect"):
        dut("ssh", sshd.address)


def ssh_config(sshd: Sshd, folder: Path) -> Path:
    path = folder / "config"
    path.write_text(
        f"Host *\n  UserKnownHostsFile {sshd.known_hosts}\n  User {sshd.user}\n"
        f"Host Orin near\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
        f"  IdentityFile {sshd.folder}/id\n  IdentitiesOnly yes\n"
        f"Host far\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
        f"  IdentityFile {sshd.folder}/id\n  ProxyJump near\n"
    )
    return path


@pytest.mark.parametrize("alias", ["Orin", "near", "far"])
def test_hosts_of_the_ssh_config_also_behind_a_jump_host(
    sshd: Sshd, tmp_path: Path, alias: str
) -> None:
    assert works(dut("ssh", f"{alias}?config={ssh_config(sshd, tmp_path)}"))


def test_the_agent_is_asked(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        add = ["ssh-add", "-q", str(sshd.folder / "id")]
        for _ in range(100):
            if subprocess.run(add, check=False, stderr=subprocess.DEVNULL).returncode == 0:
                break
        monkeypatch.setenv("HOME", str(tmp_path))
        plain = sshd.address.replace(f"key={sshd.folder}/id&", "")
        assert works(dut("ssh", plain))
    finally:
        agent.terminate()
        agent.wait()


@pytest.mark.parametrize("right", [True, False])
def test_a_password_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    server = PasswordServer(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BENCH_TEST_PASSWORD", PASSWORD if right else "wrong")
    try:
        if right:
            dut("ssh", server.address).close()
        else:
            with pytest.raises(StepFailed, match="login refused") as caught:
                dut("ssh", server.address)
            assert "wrong" not in caught.value.message
    finally:
        server.stop()


# ---- adb ---------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_private(phone: Phone, cache: Path) -> None:
    assert works(dut("adb", phone.address))
    key = cache / "adb" / "adbkey"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    made = key.read_bytes()
    assert works(dut("adb", phone.address))
    assert key.read_bytes() == made
    assert len(phone.keys.read_text().splitlines()) == 1


def test_a_phone_on_which_nobody_says_allow(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_messages, "ACCEPT_S", 0.5)
    phone.order("refuse")
    with pytest.raises(StepFailed, match="did not accept bench's key within 0.5 s") as caught:
        dut("adb", phone.address)
    assert "Allow USB debugging?" in caught.value.hint
    phone.order("accept")
    assert works(dut("adb", phone.address))


def test_what_is_no_phone_is_told_so(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_messages, "ANSWER_S", 1.0)
    with pytest.raises((DeviceLost, StepFailed), match="^dut: "):
        dut("adb", f"127.0.0.1:{sshd.port}")


@pytest.fixture
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    server = AdbServer(tmp_path_factory.mktemp("adb"))
    yield server
    server.stop()


def test_debians_adb_takes_our_phone_for_one(phone: Phone, adb: AdbServer, tmp_path: Path) -> None:
    """What keeps the emulator honest: the client that everybody uses."""
    serial = adb.connect(phone)
    device = ("-s", serial)
    done = adb.run(*device, "shell", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "ü b").write_bytes(bytes(range(256)) * 5000)
    (source / "top").write_text("top")
    adb.run(*device, "push", f"{source}/.", str(tmp_path / "there"))
    adb.run(*device, "pull", f"{tmp_path}/there/.", str(tmp_path / "back"))
    for copy in ("there", "back"):
        assert subprocess.run(["diff", "-r", source, tmp_path / copy], check=False).returncode == 0
    assert adb.run(*device, "exec-out", "printf 'a\\0\\r\\n'").stdout == b"a\0\r\n"
    missing = adb.run(*device, "pull", "/no/such", str(tmp_path / "x"), check=False)
    assert b"does not exist" in missing.stderr + missing.stdout


def test_a_farms_adb_server_must_be_running() -> None:
    with pytest.raises(DeviceLost, match="the adb server at 127.0.0.1:1 does not answer") as caught:
        dut("adb", "server:127.0.0.1:1/serial")
    assert "adb start-server" in caught.value.hint


def test_a_serial_that_the_server_does_not_know(adb: AdbServer) -> None:
    with pytest.raises(DeviceLost, match="not found"):
        dut("adb", f"server:127.0.0.1:{adb.port}/nobody")


def test_a_phone_without_tar_gets_its_files_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in (
        "sh",
        "mkdir",
        "rm",
        "cat",
        "wc",
        "chmod",
        "mv",
        "stat",
        "xargs",
        "cksum",
        "sleep",
    ):
        real = subprocess.run(["which", tool], check=True, capture_output=True, text=True).stdout
        (tmp_path / "bin" / tool).symlink_to(real.strip())
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b c").write_text("b")
    (tmp_path / "tree" / "link").symlink_to("a/b c")
    from harness.lab.adbd import Adbd
    from harness.lab.adbd import Phone as Bare
    from harness.lab.adbd_shell import Shell

    adbd = Adbd(Bare(shell=Shell(env={"PATH": str(tmp_path / "bin")})))
    transport = dut("adb", f"127.0.0.1:{adbd.port}")
    try:
        done = transport.push(tmp_path / "tree", PurePosixPath(tmp_path / "there"))
        assert done.files == 2
        assert (tmp_path / "there" / "a" / "b c").read_text() == "b"
        assert (tmp_path / "there" / "link").read_text() == "b"
        (tmp_path / "tree" / "link to folder").symlink_to("a")
        with pytest.raises(StepFailed, match="link to folder: link to a folder"):
            transport.push(tmp_path / "tree", PurePosixPath(tmp_path / "other"))
    finally:
        transport.close()
        adbd.close()
