"""Where an SSH device is and how to log in: its address, completed by the user's ssh config."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from ..errors import UsageError
from . import ssh_config

_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
SHARED = "/etc/ssh/ssh_known_hosts"
_OPTIONS = ("key", "password", "jump", "known_hosts", "config")


@dataclass(frozen=True)
class Address:
    """One host; `jump` is the next one on the way to it, `command` a program that gets there."""

    host: str
    port: int
    user: str
    keys: tuple[str, ...]
    only_keys: bool
    password: str | None
    known_hosts: tuple[Path, ...]
    jump: str | None = None
    command: str | None = None
    config: str = ""
    #: the name under which known_hosts has the host, where that is another one
    host_key_alias: str = ""

    @property
    def shown(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def read(name: str, address: str) -> Address:
    """`[ssh://][user@]host[:port][?key=…&password=${env:NAME}&jump=…&known_hosts=…&config=…]`.

    `host` may be a Host of ~/.ssh/config, or an IPv6 address with or without brackets. Raises
    UsageError, also for an unset variable.
    """
    place, _, query = address.removeprefix("ssh://").partition("?")
    options = dict(parse_qsl(query))
    user, host, port = _parts(name, address, place.rstrip("/"))
    _check(name, address, user, options)
    user = unquote(user.partition(":")[0])
    config = options.get("config", "")
    found = ssh_config.lookup(name, host, config, user, port)

    def first(keyword: str, default: str) -> str:
        return (found.get(keyword) or [default])[0]

    jump = options.get("jump", first("proxyjump", "none"))
    command = first("proxycommand", "none")
    keys = [options["key"]] if "key" in options else found.get("identityfile", [])
    alias = first("hostkeyalias", "")
    return Address(
        host=first("hostname", host),
        port=port or _port(name, address, first("port", "22")),
        user=user or first("user", "") or getpass.getuser(),
        keys=tuple(str(Path(key).expanduser()) for key in keys),
        only_keys="key" in options or first("identitiesonly", "no") == "yes",
        password=expand(name, options["password"]) if "password" in options else None,
        known_hosts=_known_hosts(options.get("known_hosts"), found),
        jump=None if jump == "none" else jump,
        command=None if command == "none" or jump != "none" else command,
        config=config,
        host_key_alias="" if alias == "none" else alias,
    )


def _parts(name: str, address: str, place: str) -> tuple[str, str, int | None]:
    """User, host and port of `[user@]host[:port]`; an IPv6 address may go without brackets."""
    if re.search(r"\s", place):
        raise _unfit(name, address, "it has blanks")
    user, _, rest = place.rpartition("@")
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        if not closed or (tail and not tail.startswith(":")):
            raise _unfit(name, address, "its brackets do not fit")
        port = tail[1:]
    elif rest.count(":") > 1:
        host, port = rest, ""
    else:
        host, _, port = rest.partition(":")
    if not host:
        raise _unfit(name, address, "it has no host")
    for word in (user, host):
        if word.startswith("-"):
            raise _unfit(name, address, f"'{word}' begins with a dash")
    return user, host, _port(name, address, port) if port else None


def _port(name: str, address: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise _unfit(name, address, f"port '{text}' is not a number from 1 to 65535")
    return int(text)


def _unfit(name: str, address: str, why: str) -> UsageError:
    what = f"devices/{name}.yaml: address: '{address}': {why}"
    return UsageError(what, "Write it as user@host:port, an IPv6 address in brackets.")


def _check(name: str, address: str, user: str, options: dict[str, str]) -> None:
    for option in options:
        if option not in _OPTIONS:
            raise UsageError(f"{name}: address option '{option}' is not one of {_OPTIONS}")
    if ":" in user or not _ENV.fullmatch(options.get("password", "${env:X}")):
        raise UsageError(
            f"{name}: a password does not belong in a file",
            "Write user@host?password=${env:NAME}, and set NAME where bench runs.",
        )


def expand(name: str, value: str) -> str:
    """`${env:NAME}` as the environment has it. Raises UsageError when it is not set."""
    match = _ENV.fullmatch(value)
    assert match is not None
    if (found := os.environ.get(match[1])) is None:
        raise UsageError(
            f"devices/{name}.yaml: address: the environment has no {match[1]}",
            f"Set it: export {match[1]}=…",
        )
    return found


def _known_hosts(option: str | None, found: ssh_config.Options) -> tuple[Path, ...]:
    """The files that an address names, else those of the config, else OpenSSH's own."""
    own = option or " ".join(found.get("userknownhostsfile", ["~/.ssh/known_hosts"]))
    shared = "" if option else " ".join(found.get("globalknownhostsfile", [SHARED]))
    return tuple(Path(name).expanduser() for name in f"{own} {shared}".split())
