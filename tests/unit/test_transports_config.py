"""SSH addresses and configs, as OpenSSH itself takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.transports import local_networks, ssh_address, ssh_config

NO_CONFIG = "config=/dev/null"
needs_ssh = pytest.mark.servers


@pytest.mark.parametrize(
    ("address", "user", "host", "port"),
    [
        ("bench@fd00::17", "bench", "fd00::17", 22),
        ("bench@fe80::1%lo", "bench", "fe80::1%lo", 22),
        ("ssh://bench@[fe80::1%25lo]:2222/", "bench", "fe80::1%lo", 2222),
        ("fe80::1%1", None, "fe80::1%lo", 22),
        ("me@corp.example@orin", "me@corp.example", "orin", 22),
        ("CORP\\me@orin", "CORP\\me", "orin", 22),
        ("bench@[fd00::17]:2222", "bench", "fd00::17", 2222),
        ("ssh://bench@[fd00::17]", "bench", "fd00::17", 22),
        ("bench@orin:2200", "bench", "orin", 2200),
        ("a%40b@orin", "a@b", "orin", 22),
    ],
)
def test_an_address_is_taken_as_ssh_takes_it(
    address: str, user: str | None, host: str, port: int
) -> None:
    found = ssh_address.read("d", f"{address}?{NO_CONFIG}")
    assert (found.host, found.port) == (host, port)
    assert user is None or found.user == user


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("orin:2222x", "port '2222x' is not a number from 1 to 65535"),
        ("orin:70000", "port '70000' is not a number from 1 to 65535"),
        ("orin:0", "port '0' is not a number from 1 to 65535"),
        ("ssh bench@orin -p 2222", "contains spaces"),
        ("[fd00::17", "unbalanced brackets in an IPv6 address"),
        ("[fd00::17]x", "unbalanced brackets in an IPv6 address"),
        ("[orin]:22", "'orin' is not an IPv6 address"),
        ("fd00::zz", "'fd00::zz' is not an IPv6 address"),
        ("a:b:c", "'a:b:c' is not an IPv6 address"),
        ("fe80::1%no-such-eth", "this machine has no network interface 'no-such-eth', only "),
        ("orin:", "port '' is not a number from 1 to 65535"),
        ("orin:²", "port '²' is not a number from 1 to 65535"),
        ("-oProxyCommand=x@orin", "invalid user name '-oProxyCommand=x'"),
        ("@orin", "invalid user name ''"),
        ("a;b@orin", "invalid user name 'a;b'"),
        ("bench@-orin", "host '-orin' starts with '-'"),
        ("or`id`in", "host 'or`id`in' contains '`'"),
        ("orin/home", "host 'orin/home' contains '/'"),
        ("bench@", "missing host"),
    ],
)
def test_an_address_that_is_none_says_which_device_and_how_to_write_it(
    address: str, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("v6", address)
    assert caught.value.message.startswith(f"devices/v6.yaml: address: '{address}': {why}")
    assert caught.value.hint == (
        "Write [user@]host[:port][?option=value], with an IPv6 address and a port as [fd00::17]:22."
    )


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (
            "keys=x",
            "unknown option 'keys', expected one of key, password, jump, known_hosts, config",
        ),
        ("key=", "option 'key' has no value"),
        ("key", "option 'key' has no value"),
    ],
)
def test_an_option_that_is_none_is_named(query: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("d", f"orin?{query}")
    assert caught.value.message == f"devices/d.yaml: address: {why}"


def test_a_plus_in_a_path_stays_one() -> None:
    assert ssh_address.read("d", f"orin?key=/a+b%20c&{NO_CONFIG}").keys == ("/a+b c",)


@pytest.mark.parametrize("address", ["me:s3cret@orin:x", "orin:x?password=s3cret"])
def test_no_error_shows_a_password(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("d", address)
    assert caught.value.message == "d: a password must not be in a file"


def test_a_home_that_is_not_there_is_no_traceback() -> None:
    found = ssh_address.read("d", f"orin?key=~no-such-user/id&{NO_CONFIG}")
    assert found.keys == ("~no-such-user/id",)


# ---- ssh config ---------------------------------------------------------------------------------


def config(folder: Path, text: str, **more: str) -> str:
    (folder / "config").write_text(text)
    for name, content in more.items():
        (folder / name).write_text(content)
    return str(folder / "config")


def own(home: Path, text: str) -> str:
    """A config that nobody but the user can have written."""
    (home / ".ssh").mkdir()
    return config(home / ".ssh", text)


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
    assert caught.value.message == f"orin: {path}:2: Bad configuration option: nosuchword"


@needs_ssh
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Host a\n  Port x\n", "config:2: Bad port 'x'."),
        ("Host a\n\nMatch nonsense x\n", "config:3: Bad Match condition; Unsupported Match "),
        ("Host a\n  ?\n", "config:2: invalid line"),
        ("Match host a\\\n  Port 1\n", "config:1: bench does not support `Match host a\\`"),
        ("Include %h/x\n", "config:1: bench does not support the Include pattern '%h/x'"),
        ("Match localnetwork 10.0.0.1/8\n", "config:1: Match localnetwork: 10.0.0.1/8 has host "),
    ],
)
def test_a_mistake_in_a_config_has_its_file_and_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("orin", f"a?config={config(tmp_path, text)}")
    assert caught.value.message.startswith(f"orin: {tmp_path}/{message}")


@needs_ssh
def test_a_mistake_in_an_included_file_has_that_files_name(tmp_path: Path) -> None:
    path = config(tmp_path, f"Include {tmp_path}/*.conf\n", **{"a.conf": "\n\nPort 99999\n"})
    with pytest.raises(UsageError, match=rf"^orin: {re.escape(str(tmp_path))}/a\.conf:3: Bad port"):
        ssh_address.read("orin", f"a?config={path}")


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_address.read("orin", f"a?config={tmp_path}/none")
    assert caught.value.message == (
        f"orin: {tmp_path}/none: cannot read the ssh config: No such file or directory"
    )


#: not one of these may run a program, and each is one that some version of ssh takes for `exec`
EVIL = [
    'Match exec "touch {ran}"',
    'match=exec "touch {ran}"',
    '"Match" exec "touch {ran}"',
    'Match !exec "touch {ran}"',
    'Match host "*" EXEC "touch {ran}"',
    'Match "host x exec" "touch {ran}"',
    'Match host a\\ user " exec touch\\" {ran}',
    '\tMatch\texec="touch {ran}"',
    'Match final exec "touch {ran}"',
    "Match host * exec 'touch {ran}'",
    'Host *\n  Match exec "touch {ran}"',
]


@needs_ssh
@pytest.mark.parametrize("evil", EVIL)
def test_no_way_of_writing_it_runs_a_program(tmp_path: Path, evil: str) -> None:
    path = config(tmp_path, f"{evil.format(ran=tmp_path / 'ran')}\n  Port 1\n")
    with pytest.raises(UsageError):
        ssh_address.read("orin", f"x?config={path}")
    assert not (tmp_path / "ran").exists()


@needs_ssh
def test_a_program_that_decides_about_other_hosts_only_does_not_matter(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = config(
        tmp_path,
        f'Match host other exec "touch {ran}"\n  Port 1\n'
        f"Host else\n  Include {tmp_path}/lab\nHost x\n  Port 2200\n",
        lab=f'Match exec "touch {ran}"\n',
    )
    assert ssh_address.read("orin", f"x?config={path}").port == 2200
    for host in ("other", "else"):
        with pytest.raises(UsageError, match="`Match exec` would run a program"):
            ssh_address.read("orin", f"{host}?config={path}")
    assert not ran.exists()


@needs_ssh
def test_the_users_own_config_is_followed_as_ssh_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh" / "config.d").mkdir(parents=True)
    (tmp_path / ".ssh" / "config").write_text("Include config.d/*\nMatch exec true\n  User u\n")
    (tmp_path / ".ssh" / "config.d" / "lab").write_text("Host orin\n  Port 2200\n")
    (tmp_path / ".ssh" / "config.d" / ".lab.swp").write_text("\0 no config\n")
    found = ssh_address.read("d", "orin")
    assert (found.port, found.user) == (2200, "u")
    assert found.known_hosts[0] == tmp_path / ".ssh" / "known_hosts"
    assert f"{tmp_path}/.ssh/id_ed25519" in found.keys


@needs_ssh
@pytest.mark.parametrize(
    ("networks", "jump"),
    [("10.8.0.0/16", None), ("192.0.2.0/24,10.9.0.0/16", "office"), ("fd00::/8", "office")],
)
def test_a_network_that_this_machine_is_not_in_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: str, jump: str | None
) -> None:
    own = frozenset(map(local_networks.ipaddress.ip_address, ("127.0.0.1", "10.9.1.7", "fd00::7")))
    monkeypatch.setattr(local_networks, "addresses", lambda: own)
    path = config(tmp_path, f"Match localnetwork {networks}\n  ProxyJump office\n")
    assert ssh_address.read("orin", f"127.0.0.1?config={path}").jump == jump
    path = config(tmp_path, f"Match !localnetwork {networks}\n  ProxyJump away\n")
    assert ssh_address.read("orin", f"127.0.0.1?config={path}").jump == (None if jump else "away")


def test_this_machines_addresses_are_found() -> None:
    own = local_networks.addresses()
    assert own is not None
    assert local_networks.is_in("127.0.0.0/8", own)
    assert not local_networks.is_in("198.51.100.0/24,2001:db8::/32", own)


CONFIG = """\
# a comment
Host *.lab orin !x.lab   # ends here
  HostName %h.example
  Port=2200
  User "me too"
  IdentityFile "/a b/%n %r"
  IdentityFile ~/.ssh/%h
  IdentityFile ${LAB_KEYS}/id
  UserKnownHostsFile /a/%h ~/kh
  HostKeyAlias Alias
  ProxyCommand nc -x '%%' %h %p | cat
  ConnectTimeout 2m
  AddressFamily inet6
  IdentitiesOnly yes
  IdentityAgent none

Match host=*.example user="me too"
  RevokedHostKeys /revoked
"""


@needs_ssh
def test_values_are_expanded_as_ssh_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAB_KEYS", "/lab")
    found = ssh_address.read("d", f"orin?config={own(tmp_path, CONFIG)}")
    assert (found.host, found.port, found.user) == ("orin.example", 2200, "me too")
    keys = ("/a b/orin me too", f"{tmp_path}/.ssh/orin.example", "/lab/id")
    assert (found.keys, found.only_keys, found.agent) == (keys, True, "")
    assert found.known_hosts[0] == Path("/a/orin.example")
    assert found.command == "nc -x '%' orin.example 2200 | cat"
    assert (found.host_key_alias, found.patience_s, found.family) == (
        "alias",
        120.0,
        ssh_address.socket.AF_INET6,
    )
    assert found.revoked == Path("/revoked")


@needs_ssh
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("IdentityFile /k/%z", "unknown ssh token '%z' in '/k/%z'"),
        ("ProxyCommand nc %h %", "unknown ssh token '%' in 'nc %h %'"),
        ("IdentityFile ${BENCH_NO_SUCH}/k", "environment variable BENCH_NO_SUCH, used in "),
        ("ProxyCommand x\nProxyUseFdpass yes", "its ssh config has ProxyUseFdpass, which bench "),
    ],
)
def test_a_value_that_cannot_be_expanded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, why: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        ssh_address.read("d", f"orin?config={own(tmp_path, line)}")
    assert caught.value.message.startswith("devices/d.yaml: address: 'orin?config=")
    assert f"': {why}" in caught.value.message


@needs_ssh
@pytest.mark.parametrize("host", ["orin", "a.lab", "x.lab", "ORIN", "other", "fd00::17"])
@pytest.mark.parametrize("user", ["", "you"])
def test_what_ssh_reads_of_the_copies_is_what_it_reads_of_the_files(
    tmp_path: Path, host: str, user: str
) -> None:
    text = CONFIG + (
        f"Include {tmp_path}/d/*\nMatch originalhost orin,other final\n  SendEnv A\n"
        "Match !host other\n  LogLevel ERROR\nHost fd00::*\n  Port 7\n"
        "Match user=you\n  User not\n  Compression yes\n"
        "Host *\n\tServerAliveInterval\t30\n  UpdateHostKeys no\n"
    )
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one").write_text("Host other\r\n  Port 99\r\nMatch all\r\n  Port 98\r\n")
    path = config(tmp_path, text)
    options = ["-l", user] if user else []
    command = [shutil.which("ssh") or "", "-T", "-G", "-F", path, *options, "--", host]
    wanted = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = ssh_config.lookup("d", host, path, user)
    ours = [f"{key} {value}" for key, values in found.items() for value in values]
    assert _comparable(ours) == _comparable(wanted.splitlines())


def _comparable(lines: list[str]) -> list[str]:
    """Without known_hosts: ssh's own default is in the home of the password database."""
    pairs = [line.partition(" ") for line in lines]
    return sorted(
        f"{key.lower()} {value}" for key, _, value in pairs if key != "userknownhostsfile"
    )
