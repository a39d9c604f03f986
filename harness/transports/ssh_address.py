"""Where an SSH device is and how to log in: its address, completed by the user's ssh config."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import UsageError

_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
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

    @property
    def shown(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def read(name: str, address: str) -> Address:
    """`[ssh://][user@]host[:port][?key=…&password=${env:NAME}&jump=…&known_hosts=…&config=…]`.

    `host` may be a Host of ~/.ssh/config. Raises UsageError, also for an unset variable.
    """
    import paramiko

    url = urlsplit(address if "://" in address else f"ssh://{address}")
    options = dict(parse_qsl(url.query))
    _check(name, address, url.hostname, url.password, options)
    config_file = Path(options.get("config", "~/.ssh/config")).expanduser()
    config = paramiko.SSHConfig()
    if config_file.is_file():
        config = paramiko.SSHConfig.from_path(str(config_file))
    # not url.hostname: that is in lower case, and an alias of the config may not be
    alias = (
        (url.netloc.rpartition("@")[2]).rsplit(":", 1)[0]
        if url.port
        else (url.netloc.rpartition("@")[2])
    )
    alias = alias.strip("[]")
    found = config.lookup(alias)
    jump = options.get("jump", found.get("proxyjump", "none"))
    command = found.get("proxycommand", "none")
    keys = [options["key"]] if "key" in options else list(found.get("identityfile", ()))
    return Address(
        host=found.get("hostname", alias),
        port=url.port or int(found.get("port", 22)),
        user=unquote(url.username or "") or found.get("user") or getpass.getuser(),
        keys=tuple(str(Path(key).expanduser()) for key in keys),
        only_keys="key" in options or found.get("identitiesonly", "no") == "yes",
        password=expand(name, options["password"]) if "password" in options else None,
        known_hosts=_known_hosts(options.get("known_hosts", found.get("userknownhostsfile"))),
        jump=None if jump == "none" else jump,
        command=None if command == "none" or jump != "none" else command,
        config=options.get("config", ""),
    )


def _check(
    name: str, address: str, host: str | None, password: str | None, options: dict[str, str]
) -> None:
    if not host:
        raise UsageError(f"{name}: '{address}' has no host", "address: user@host:port")
    for option in options:
        if option not in _OPTIONS:
            raise UsageError(f"{name}: address option '{option}' is not one of {_OPTIONS}")
    if password or not _ENV.fullmatch(options.get("password", "${env:X}")):
        raise UsageError(
            f"{name}: a password does not belong in a file",
            "address: user@host?password=${env:NAME}, and set NAME where bench runs",
        )


def expand(name: str, value: str) -> str:
    """`${env:NAME}` as the environment has it. Raises UsageError when it is not set."""
    match = _ENV.fullmatch(value)
    assert match is not None
    if (found := os.environ.get(match[1])) is None:
        raise UsageError(
            f"devices/{name}.yaml: address: the environment has no {match[1]}",
            f"export {match[1]}=…",
        )
    return found


def _known_hosts(option: str | None) -> tuple[Path, ...]:
    names = option.split() if option else ["~/.ssh/known_hosts"]
    paths = [Path(name).expanduser() for name in names]
    return tuple(paths if option else [*paths, Path("/etc/ssh/ssh_known_hosts")])
