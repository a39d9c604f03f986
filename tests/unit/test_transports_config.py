"""Addresses, ssh configs, known_hosts and adb's own words, as the tools themselves take them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.transports import adb_list, adb_server, scripts, ssh_address, ssh_config
from harness.transports.host_keys import host_keys

NO_CONFIG = "config=/dev/null"
needs_ssh = pytest.mark.servers


@pytest.mark.parametrize(
    ("address", "user", "host", "port"),
    [
        ("bench@fd00::17", "bench", "fd00::17", 22),
        ("bench@fe80::1%eth0", "bench", "fe80::1%eth0", 22),
        ("bench@[fd00::17]:2222", "bench", "fd00::17", 2222),
        ("ssh://bench@[fd00::17]", "bench", "fd00::17", 22),
        ("bench@orin:2200", "bench", "orin", 2200),
        ("a%40b@orin", "a@b", "orin", 22),
    ],
)
def test_an_address_is_taken_as_ssh_takes_it(address: str, user: str, host: str, port: int) -> None:
    found = ssh_address.read("d", f"{address}?{NO_CONFIG}")
    assert (found.user, found.host, found.port) == (user, host, port)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("orin:2222x", "port '2222x' is not a number from 1 to 65535"),
        ("orin:70000", "port '70000' is not a number from 1 to 65535"),
        ("orin:0", "port '0' is not a number from 1 to 65535"),
        ("ssh bench@orin -p 2222", "it has blanks"),
        ("[fd00::17", "its brackets do not fit"),
        ("[fd00::17]x", "its brackets do not fit"),
        ("-oProxyCommand=x@orin", "'-oProxyCommand=x' begins with a dash"),
        ("bench@-orin", "'-orin' begins with a dash"),
        ("bench@", "it has no host"),
    ],
)
def test_an_address_that_is_none_says_which_device_and_how_to_write_it(
    address: str, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("v6", address)
    assert caught.value.message == f"devices/v6.yaml: address: '{address}': {why}"
    assert caught.value.hint == "Write it as user@host:port, an IPv6 address in brackets."


# ---- ssh config ---------------------------------------------------------------------------------


def config(folder: Path, text: str, **more: str) -> str:
    (folder / "config").write_text(text)
    for name, content in more.items():
        (folder / name).write_text(content)
    return str(folder / "config")


@needs_ssh
def test_an_include_is_followed(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        f"Include {tmp_path}/la*\n",
        lab="Host my-orin\n  HostName 10.0.0.7\n  Port 2299\n  User bench\n",
    )
    found = ssh_address.read("orin", f"my-orin?config={path}")
    assert (found.user, found.host, found.port) == ("bench", "10.0.0.7", 2299)


@needs_ssh
@pytest.mark.parametrize("criterion", ["host=*.lab", "final all", "originalhost orin.lab"])
def test_what_openssh_matches_is_matched(tmp_path: Path, criterion: str) -> None:
    path = config(tmp_path, f"Match {criterion}\n  Port 2299\n")
    assert ssh_address.read("orin", f"orin.lab?config={path}").port == 2299


@needs_ssh
def test_a_criterion_that_does_not_hold_changes_nothing(tmp_path: Path) -> None:
    path = config(tmp_path, "Match localuser nobody-like-this\n  ProxyJump office\n")
    assert ssh_address.read("orin", f"127.0.0.1?config={path}").jump is None


@needs_ssh
def test_a_config_that_ssh_refuses_is_that_device_s_mistake(tmp_path: Path) -> None:
    path = config(tmp_path, "Host x\n  NoSuchWord yes\n")
    with pytest.raises(UsageError) as caught:
        ssh_address.read("orin", f"x?config={path}")
    assert caught.value.message.startswith(f"orin: ssh cannot read its config: {path}: line 2: ")


@pytest.mark.parametrize("where", ["config", "lab"])
def test_reading_a_named_config_runs_no_program(tmp_path: Path, where: str) -> None:
    ran = tmp_path / "ran"
    evil = f'Match exec "touch {ran}"\n  Port 1\n'
    files = {"config": f"Include {tmp_path}/lab\n", "lab": "", where: evil}
    path = config(tmp_path, files.pop("config"), **files)
    with pytest.raises(UsageError) as caught:
        ssh_address.read("orin", f"x?config={path}")
    assert caught.value.message == (
        f"orin: {tmp_path}/{where}:1: `Match exec` runs a program while the config is read"
    )
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Host a\n  Port 1\nInclude lab\n", "config:3: `Include lab`"),
        ("Match localnetwork 10.0.0.0/8\n", "config:1: `Match localnetwork 10.0.0.0/8`"),
        ("Match final all\n", "config:1: `Match final all`"),
    ],
)
def test_without_ssh_what_it_alone_can_follow_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    monkeypatch.setattr(ssh_config.shutil, "which", lambda name: None)
    path = config(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        ssh_address.read("orin", f"a?config={path}")
    assert caught.value.message == f"orin: {tmp_path}/{shown} can only be followed by OpenSSH"
    assert caught.value.hint == "Install openssh-client."


def test_without_ssh_a_plain_config_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_config.shutil, "which", lambda name: None)
    path = config(tmp_path, "Host a\n  HostName 10.0.0.9\n  IdentityFile /k\nMatch host b\n")
    found = ssh_address.read("orin", f"a?config={path}")
    assert (found.host, found.keys) == ("10.0.0.9", ("/k",))


# ---- known_hosts --------------------------------------------------------------------------------


def blob(kind: str = "ssh-ed25519", seed: int = 0) -> bytes:
    return len(kind).to_bytes(4, "big") + kind.encode() + bytes([0, 0, 0, 32]) + bytes([seed] * 32)


def line(names: str, seed: int = 0, marker: str = "") -> bytes:
    text = f"{marker} {names} ssh-ed25519 {base64.b64encode(blob(seed=seed)).decode()} me"
    return text.strip().encode() + b"\n"


def hashed(name: str) -> str:
    salt = bytes(range(20))
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


@pytest.mark.parametrize(
    "broken",
    [
        b"old ssh-rsa AAAAB3NzaC1yc2EAAA\n",
        b"old ssh-rsa\n",
        b"old ssh-ed25519 !!!\n",
        b"# M\xfcller's laptop\n",
        b"old ssh-rsa AAAAB3Nza\xfc== M\xfcller\n",
        b"|1|x|y ssh-ed25519 AAAA\n",
        b"\x00\xff\n",
        b"@cert-authority *.lab ssh-rsa AAAA\n",
    ],
)
def test_a_broken_line_costs_no_other_host(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(broken + line("orin"))
    assert host_keys([path], "orin").accepted == (("ssh-ed25519", blob()),)


@pytest.mark.parametrize(
    ("names", "host", "port", "known"),
    [
        ("orin,10.0.0.7", "10.0.0.7", 22, True),
        ("ORIN", "orin", 22, True),
        ("*.lab", "orin.lab", 22, True),
        ("*.lab,!orin.lab", "orin.lab", 22, False),
        ("[orin]:2222", "orin", 2222, True),
        ("orin", "orin", 2222, False),
        ("[orin]:*", "orin", 2222, True),
        (hashed("orin"), "orin", 22, True),
        (hashed("[orin]:2222"), "orin", 2222, True),
        (hashed("other"), "orin", 22, False),
    ],
)
def test_names_are_matched_as_openssh_does(
    tmp_path: Path, names: str, host: str, port: int, known: bool
) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line(names))
    assert bool(host_keys([path, tmp_path / "none"], host, port).accepted) is known


def test_a_revoked_key_is_apart(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line("orin", 1) + line("*", 2, "@revoked"))
    found = host_keys([path], "orin")
    assert found.accepted == (("ssh-ed25519", blob(seed=1)),)
    assert found.revoked == (blob(seed=2),)


# ---- login shells -------------------------------------------------------------------------------

WORDS = ("it's", "a\nb\n", "!x", "\\0101 %s $HOME `id`", "ü", "", '"q"', "-n", "a  b", "100%")


@pytest.mark.servers
@pytest.mark.parametrize("shell", ["sh", "bash", "mksh", "tcsh", "fish", "busybox"])
def test_any_login_shell_passes_a_script_on_unchanged(shell: str) -> None:
    found = shutil.which(shell)
    assert found, f"{shell} is not installed: scripts/system-packages servers"
    script = 'for word in "$@"; do\n  printf "<%s>" "$word"\ndone; exit 7\n'
    sent = scripts.for_any_shell(scripts.command(script, *WORDS))
    assert "\n" not in sent
    argv = [found, "sh", "-c", sent] if shell == "busybox" else [found, "-c", sent]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.stdout.decode() == "".join(f"<{word}>" for word in WORDS), done.stderr
    assert done.returncode == 7


def test_a_script_reads_its_own_input_through_the_wrapper() -> None:
    sent = scripts.for_any_shell(scripts.command("exec cat"))
    done = subprocess.run(
        ["sh", "-c", sent], input=b"\x00\xffdata", capture_output=True, check=True
    )
    assert done.stdout == b"\x00\xffdata"


# ---- adb ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "serial", "state", "model"),
    [
        (
            "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp device product:p model:Pixel_8 device:s",
            "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp",
            "device",
            "Pixel 8",
        ),
        ("(no serial number)     device usb:1-2 model:X", "(no serial number)", "device", "X"),
        (
            "????????????           no permissions (missing udev rules?); see [http://x] usb:1-1",
            "????????????",
            "no permissions",
            "",
        ),
        (
            "R5CT10                 unauthorized usb:1-2 transport_id:3",
            "R5CT10",
            "unauthorized",
            "",
        ),
        ("emulator-5554          offline transport_id:1", "emulator-5554", "offline", ""),
        ("10.0.0.5:5555          device product:a model:b", "10.0.0.5:5555", "device", "b"),
        ("0123                   sideload", "0123", "sideload", ""),
        ("what is this", "what is this", "unknown", ""),
    ],
)
def test_a_line_of_adb_devices(text: str, serial: str, state: str, model: str) -> None:
    found = adb_list.parse(text)
    assert (found.serial, found.state, found.model) == (serial, state, model)


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, ("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "5099"}, ("127.0.0.1", 5099)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "10.0.0.2"}, ("10.0.0.2", 5037)),
        ({"ADB_SERVER_SOCKET": "tcp:172.30.112.1:5037"}, ("172.30.112.1", 5037)),
        ({"ADB_SERVER_SOCKET": "tcp:5099", "ANDROID_ADB_SERVER_PORT": "1"}, ("127.0.0.1", 5099)),
        ({"ADB_SERVER_SOCKET": "tcp:[::1]:5099"}, ("::1", 5099)),
    ],
)
def test_the_server_is_the_one_that_adb_asks(env: dict[str, str], wanted: tuple[str, int]) -> None:
    assert adb_server.server(env) == wanted


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"ANDROID_ADB_SERVER_PORT": "abc"}, "ANDROID_ADB_SERVER_PORT=abc: 'abc' is not a port"),
        ({"ADB_SERVER_SOCKET": "tcp:x:y"}, "ADB_SERVER_SOCKET=tcp:x:y: 'y' is not a port"),
        (
            {"ADB_SERVER_SOCKET": "localabstract:adb"},
            "ADB_SERVER_SOCKET=localabstract:adb: bench speaks to an adb server over TCP only",
        ),
    ],
)
def test_variables_that_make_no_address_are_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        adb_server.server(env)
    assert caught.value.message == message
