"""A device's file that came with a project: it runs no program, and sends no secret away."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from harness.errors import BenchError, UsageError
from harness.records import DeviceSpec
from harness.transports import adb_client, connect, ssh_address, ssh_config, ssh_words
from harness.transports import host_keys as host_keys_module
from harness.transports.host_keys import HostKeys, host_keys
from harness.transports.ssh_keys import Keys

needs_ssh = pytest.mark.servers


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def refused(address: str) -> str:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("orin", address)
    assert caught.value.message.replace("\n", "").isprintable()
    return caught.value.message


# ---- programs ----------------------------------------------------------------------------------


@needs_ssh
@pytest.mark.parametrize(
    "config",
    [
        "Host *\n  ProxyCommand touch {ran}",
        "ProxyCommand touch {ran}",
        "proxycommand=touch {ran}",
        '"ProxyCommand" touch {ran}',
        "Match host x\n  ProxyCommand touch {ran}",
        "Match all\n  ProxyCommand touch {ran} %h",
        "Host other\nHost *\n  ProxyCommand exec touch {ran}; nc %h %p",
    ],
)
def test_a_proxy_command_of_a_project_is_not_run(project: Path, config: str) -> None:
    ran = project / "ran"
    (project / "config").write_text(config.format(ran=ran) + "\n")
    address = f"x?config={project / 'config'}"
    assert refused(address) == (
        f"devices/orin.yaml: address: {project / 'config'} has a ProxyCommand for x, which would "
        "run a program that the device file chooses"
    )
    with pytest.raises(UsageError):
        connect(DeviceSpec("orin", "linux", "ssh", address))
    time.sleep(0.05)
    assert not ran.exists()


@needs_ssh
def test_a_proxy_command_of_a_jump_host_is_not_run(project: Path) -> None:
    ran = project / "ran"
    (project / "config").write_text(f"Host near\n  ProxyCommand touch {ran}\n")
    with pytest.raises(UsageError, match="has a ProxyCommand for near"):
        connect(DeviceSpec("orin", "linux", "ssh", f"x?config={project / 'config'}&jump=near"))
    assert not ran.exists()


@needs_ssh
def test_a_proxy_command_of_the_users_own_is_taken(home: Path) -> None:
    (home / ".ssh" / "lab").write_text("ProxyCommand nc %h %p\n")
    assert ssh_address.read("orin", f"x?config={home}/.ssh/lab").command == "nc x 22"


@needs_ssh
def test_a_link_into_a_project_is_no_config_of_the_users_own(home: Path, project: Path) -> None:
    (project / "config").write_text("ProxyCommand nc %h %p\n")
    (home / ".ssh" / "lab").symlink_to(project / "config")
    assert not ssh_config.is_own(str(home / ".ssh" / "lab"))
    refused(f"x?config={home}/.ssh/lab")


def test_a_path_that_leads_out_of_ssh_is_no_config_of_the_users_own(home: Path) -> None:
    assert ssh_config.is_own("")
    assert ssh_config.is_own("~/.ssh/config")
    for path in ("~/.ssh/../project/config", "/etc/passwd", "~/.sshx/config", "config"):
        assert not ssh_config.is_own(path), path


def test_where_there_is_no_ssh_a_proxy_command_is_not_run_either(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_config.shutil, "which", lambda name: None)
    (project / "config").write_text(f"Host *\n  ProxyCommand touch {project}/ran\n")
    assert "has a ProxyCommand for x" in refused(f"x?config={project / 'config'}")


# ---- other files -------------------------------------------------------------------------------


@needs_ssh
@pytest.mark.parametrize(
    "include", ["{home}/.pgpass", "~/.pgpass", "../home/.pgpass", "{project}/../home/.*", "link"]
)
def test_a_config_of_a_project_includes_nothing_of_others(
    home: Path, project: Path, include: str
) -> None:
    (home / ".pgpass").write_text("localhost:5432:db:me:s3cret\n")
    (project / "link").symlink_to(home / ".pgpass")
    named = include.format(home=home, project=project)
    named = str(project / named) if named == "link" else named
    (project / "config").write_text(f"Include {named}\n")
    said = refused(f"x?config={project / 'config'}")
    assert said == (
        f"orin: {project / 'config'}:1: a config that a device file names "
        "includes a file outside of its folder"
    )


def test_a_list_of_revoked_keys_that_never_ends_is_not_waited_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key then counts as revoked."""
    monkeypatch.setattr(host_keys_module, "ANSWER_S", 0.3)
    os.mkfifo(project / "revoked")
    began = time.monotonic()
    assert host_keys_module.is_revoked(project / "revoked", "ssh-ed25519", b"x")
    assert time.monotonic() - began < 5


@needs_ssh
def test_what_is_no_config_is_not_quoted(home: Path) -> None:
    (home / ".pgpass").write_text("localhost:5432:db:me:s3cret\n")
    said = refused(f"x?config={home}/.pgpass")
    assert said == f"orin: {home}/.pgpass:1: invalid line"


@pytest.mark.parametrize("path", ["/dev/zero", "{pipe}", "/", "{large}"])
def test_what_never_ends_is_not_read(project: Path, path: str) -> None:
    os.mkfifo(project / "pipe")
    with open(project / "large", "wb") as file:
        file.truncate(1 << 34)
    named = path.format(pipe=project / "pipe", large=project / "large")
    began = time.monotonic()
    with pytest.raises(BenchError, match="cannot read the ssh config"):
        ssh_address.read("orin", f"x?config={named}")
    found = ssh_address.read("orin", f"x?config=none&key={named}&known_hosts={named}")
    with Keys(found) as keys:
        assert list(keys.offers()) == []
    if named != "/":
        with pytest.raises(OSError, match="not a regular file|larger than 4,096 KB"):
            host_keys(found.known_hosts, "x")
    assert time.monotonic() - began < 5


# ---- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "_BENCH"])
def test_no_secret_of_the_environment_is_sent_as_a_password(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "s3cret")
    said = refused(f"me@evil.example?config=none&password=${{env:{name}}}")
    assert said == (
        f"devices/orin.yaml: address: the variable {name} cannot be a password, expected BENCH_…"
    )


def test_no_traceback_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PASSWORD", "s3cret")
    found = ssh_address.read("orin", "me@x?config=none&password=${env:BENCH_PASSWORD}")
    assert found.password == "s3cret"
    assert "s3cret" not in f"{found!r} {found}"


@pytest.mark.parametrize(
    "serial",
    [
        "emulator-5554:forward:tcp:1;tcp:2",
        "x:reverse:forward:tcp:1;tcp:2",
        "x:kill-forward-all",
        "x:123456",
        "a\nb",
        "x:",
        ":",
    ],
)
def test_a_serial_is_no_command_for_an_adb_server(serial: str) -> None:
    with pytest.raises(UsageError, match="is not an adb address: "):
        connect(DeviceSpec("phone", "android", "adb", f"server:127.0.0.1:9/{serial}"))


@pytest.mark.parametrize(
    "serial",
    ["R5CT10", "10.0.0.7:5555", "[fd00::17]:5555", "[fe80::1%eth0]:5555", "usb:1-3.2",
     "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp", "vsock:3:5555"],
)  # fmt: skip
def test_a_serial_of_adb_is_one(serial: str) -> None:
    assert adb_client.of_address(f"host:5037/{serial}")[1] == serial


# ---- words for a shell -------------------------------------------------------------------------

EVIL = "a b;touch ran;$(touch ran)`touch ran`'\""


@pytest.mark.parametrize(
    "address",
    ["-oProxyCommand=x@h", "me@-oProxyCommand=x", "a b@h", "me@a b", "me@h;x", "me@$(x)", "`x`@h",
     "me@h\x1b[2J", "me\n@h", "me@h\u202e"],
)  # fmt: skip
def test_hosts_and_users_are_no_options_and_no_shell(address: str) -> None:
    refused(f"{address}?config=none")


@needs_ssh
@pytest.mark.parametrize(
    "line", ["HostName h;touch", "HostName -oX", "User me;touch", "User -l", "HostName $(touch)"]
)
def test_a_config_of_a_project_makes_no_words_for_a_shell(project: Path, line: str) -> None:
    (project / "config").write_text(f"{line}\n")
    refused(f"x?config={project / 'config'}")


def test_every_command_that_is_suggested_is_quoted(tmp_path: Path) -> None:
    """A person pastes it into a shell."""
    address = ssh_address.Address(
        EVIL, 22, EVIL, keys=(EVIL,), only_keys=True, password=None, known_hosts=(Path(EVIL),),
        host_key_alias=EVIL,
    )  # fmt: skip
    hints = [
        ssh_words.unknown_host("x", address, HostKeys(), "x").hint,
        ssh_words.refused("x", address, [], []).hint,
        ssh_words.locked("x", [EVIL]).hint,
        ssh_words.translated("x", address, ValueError("x")).hint,
    ]
    quoted = "'a b;touch ran;$(touch ran)`touch ran`'\"'\"'\"'"
    for hint in hints:
        assert quoted in hint.replace(f"{EVIL}@", "") or quoted[1:] in hint, hint


def test_the_key_for_phones_is_its_owners_alone(tmp_path: Path) -> None:
    from harness.transports.adb_keys import signer

    signer()
    folder = tmp_path / "cache" / "adb"
    assert stat.S_IMODE((folder / "adbkey").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
