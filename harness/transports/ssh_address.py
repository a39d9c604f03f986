"""Where an SSH device is and how to log in: its address, completed by the user's ssh config."""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from ..errors import UsageError
from . import endpoint, ssh_config, ssh_tokens
from .ssh_config_copies import home

FORM = "Write [user@]host[:port][?option=value], with an IPv6 address and a port as [fd00::17]:22."
SHARED = "/etc/ssh/ssh_known_hosts"
_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
OWN_VARIABLES = "BENCH_"
LONGEST = 4096
#: what OpenSSH refuses in the name of a user, and `:`
_ODD = re.compile(r"[\s\x00-\x1f\x7f'\"`:;&<>|(){}]")
_OPTIONS = ("key", "password", "jump", "known_hosts", "config")
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


@dataclass(frozen=True)
class Address:
    """One host; `jump` is the next one on the way to it, `command` a program that gets there."""

    host: str
    port: int
    user: str
    keys: tuple[str, ...]
    only_keys: bool
    password: str | None = field(repr=False)
    known_hosts: tuple[Path, ...]
    jump: str | None = None
    command: str | None = None
    config: str = ""
    #: the name under which known_hosts has the host, where that is another one
    host_key_alias: str = ""
    #: socket of the agent; empty for none
    agent: str = ""
    #: ssh's RevokedHostKeys
    revoked: Path | None = None
    family: int = socket.AF_UNSPEC
    #: ConnectTimeout
    patience_s: float | None = None

    @property
    def shown(self) -> str:
        return f"{self.user}@{endpoint.joined(self.host, self.port)}"


@dataclass(frozen=True)
class _Place:
    """`[user@]host[:port]` as it is written."""

    user: str
    host: str
    port: int | None


def read(name: str, address: str) -> Address:
    """`[ssh://][user@]host[:port][?key=…&password=${env:BENCH_NAME}&jump=…&known_hosts=…&config=…]`.

    `host` may be a Host of ~/.ssh/config, or an IPv6 address with or without brackets. Raises
    UsageError, also for an unset variable.
    """
    if len(address) > LONGEST:
        raise UsageError(f"devices/{name}.yaml: address: longer than {LONGEST:,} characters", FORM)
    text, _, query = address.partition("?")
    options = _options(name, query)
    if ":" in text.rpartition("@")[0].removeprefix("ssh://"):
        raise _no_password(name)
    try:
        return _completed(name, _place(text), options)
    except ValueError as error:
        raise _unfit(name, f"'{address}'", error) from error


def hops(name: str, to: Address) -> list[Address]:
    """The jump hosts on the way to an address, the first one first. Raises UsageError."""
    options = {"config": to.config} if to.config else {}
    made: list[Address] = []
    for text in filter(None, (to.jump or "").split(",")):
        try:
            made.append(_completed(name, _place(text.strip()), options))
        except ValueError as error:
            raise _unfit(name, f"jump host '{text.strip()}'", error) from error
    return made


def _place(text: str) -> _Place:
    """Raises ValueError."""
    is_url = text.startswith("ssh://")
    user, at, rest = text.removeprefix("ssh://").rstrip("/" if is_url else "").rpartition("@")
    if re.search(r"\s", text):
        raise ValueError("contains spaces")
    user = unquote(user)
    if at:
        _check_user(user)
    host, port = endpoint.split(rest.replace("%25", "%") if is_url else rest)
    return _Place(user, host, port)


def _check_user(user: str) -> None:
    """Raises ValueError."""
    if not user or user.startswith("-") or _ODD.search(user) or not user.isprintable():
        raise ValueError(f"invalid user name '{user}'")


def _check_host(host: str) -> None:
    """Of a config, which may contain anything. Raises ValueError."""
    endpoint.check_scope(host)
    if ":" not in host:
        endpoint.check_host(host)


def _completed(name: str, place: _Place, options: dict[str, str]) -> Address:
    """With what the ssh config has for it. Raises ValueError, UsageError."""
    config = options.get("config", "")
    found = ssh_config.lookup(name, place.host, config, place.user, place.port)

    def first(keyword: str, default: str = "none") -> str:
        return (found.get(keyword) or [default])[0]

    def unless_none(value: str) -> str:
        return "" if value == "none" else value

    host = first("hostname", place.host)
    _check_host(host)
    port = place.port or endpoint.number(first("port", "22"))
    user = place.user or unless_none(first("user")) or _me()
    if not ssh_config.is_own(config):
        _check_user(user)
    alias = unless_none(first("hostkeyalias"))
    jump = unless_none(options.get("jump", first("proxyjump")))
    command = "" if jump else unless_none(first("proxycommand"))
    if command and not ssh_config.is_own(config):
        raise UsageError(
            f"devices/{name}.yaml: address: {config} has a ProxyCommand for {place.host}, which "
            "would run a program that the device file chooses",
            "Read the command, and move the host into ~/.ssh/config if you want it.",
        )
    if command and first("proxyusefdpass") == "yes":
        raise ValueError("its ssh config has ProxyUseFdpass, which bench does not support")
    values = ssh_tokens.tokens(place.host, host, port, user, jump, alias)
    keys = found.get("identityfile", [])
    revoked = unless_none(first("revokedhostkeys"))
    timeout = first("connecttimeout")
    return Address(
        host=host,
        port=port,
        user=user,
        keys=(str(home(options["key"])),)
        if "key" in options
        else tuple(ssh_tokens.path(key, values) for key in keys if key != "none"),
        only_keys="key" in options or first("identitiesonly") == "yes",
        password=expand(name, options["password"]) if "password" in options else None,
        known_hosts=_known_hosts(options.get("known_hosts"), found),
        jump=jump or None,
        command=ssh_tokens.expanded(command, values) or None,
        config=config,
        host_key_alias=alias,
        agent=_agent(first("identityagent", "SSH_AUTH_SOCK")),
        revoked=home(revoked) if revoked else None,
        family=_FAMILIES.get(first("addressfamily"), socket.AF_UNSPEC),
        patience_s=float(timeout) if re.fullmatch(r"[0-9]{1,9}", timeout) else None,
    )


def _options(name: str, query: str) -> dict[str, str]:
    """`+` stays one: these are paths. Raises UsageError."""
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        option, _, value = part.partition("=")
        if option not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise UsageError(
                f"devices/{name}.yaml: address: unknown option '{option}', expected one of {known}"
            )
        if not value:
            raise UsageError(f"devices/{name}.yaml: address: option '{option}' has no value")
        options[option] = unquote(value)
    if "password" in options:
        _check_password(name, options["password"])
    return options


def _check_password(name: str, value: str) -> None:
    """A device file may be part of a project, and must not send secrets of this machine."""
    found = _ENV.fullmatch(value)
    if not found:
        raise _no_password(name)
    if not found[1].startswith(OWN_VARIABLES):
        raise UsageError(
            f"devices/{name}.yaml: address: the variable {found[1]} cannot be a password, "
            f"expected {OWN_VARIABLES}…",
            f"Set {OWN_VARIABLES}{found[1]}, and use it in the address.",
        )


def _no_password(name: str) -> UsageError:
    return UsageError(
        f"{name}: a password must not be in a file",
        "Write user@host?password=${env:BENCH_NAME}, and set BENCH_NAME in bench's environment.",
    )


def _unfit(name: str, what: str, why: ValueError) -> UsageError:
    return UsageError(f"devices/{name}.yaml: address: {what}: {why}", FORM)


def expand(name: str, value: str) -> str:
    """`${env:NAME}` as the environment has it. Raises UsageError when it is not set."""
    match = _ENV.fullmatch(value)
    assert match is not None
    if (found := os.environ.get(match[1])) is None:
        raise UsageError(
            f"devices/{name}.yaml: address: environment variable {match[1]} is not set",
            f"Set it with `export {match[1]}=…`.",
        )
    return found


def _me() -> str:
    """Raises ValueError where this user has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        raise ValueError("no user given, and this machine's user has no name") from None


def _agent(value: str) -> str:
    """`SSH_AUTH_SOCK` or `$NAME` for a variable, `none`, or a path."""
    if value in ("SSH_AUTH_SOCK", "none"):
        return os.environ.get("SSH_AUTH_SOCK", "") if value != "none" else ""
    return os.environ.get(value[1:], "") if value.startswith("$") else str(home(value))


def _known_hosts(option: str | None, found: ssh_config.Options) -> tuple[Path, ...]:
    """The files that an address names, else those of the config, else OpenSSH's own."""
    if option is not None:
        return ssh_tokens.paths(option)
    own = found.get("userknownhostsfile", ["~/.ssh/known_hosts"])[0]
    shared = found.get("globalknownhostsfile", [SHARED])[0]
    return ssh_tokens.paths(own) + ssh_tokens.paths(shared)
